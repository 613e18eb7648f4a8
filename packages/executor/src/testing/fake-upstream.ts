import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { httpBackend } from './fake-instance.ts';

interface Received {
  /** `POST /.executors/…` */
  readonly line: string;
  readonly headers: IncomingHttpHeaders;
  /** The parsed JSON, or null for an empty body. */
  readonly body: unknown;
}

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
}

/**
 * A fake instance of upstream's kind: it does not speak the native protocol. A test sets the answer to each request line; every
 * other request is answered with 404.
 */
export class FakeUpstream {
  readonly received: Received[] = [];
  url = '';
  /** The directory of bare repositories that the git route serves; '' for none. */
  repositories = '';
  private readonly answers = new Map<string, () => Answer>();
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const line = `${request.method} ${request.url}`;
        const bytes = Buffer.concat(chunks);
        if (this.repositories && request.url?.startsWith('/.executors/git/')) {
          this.received.push({ line, headers: request.headers, body: null });
          httpBackend(this.repositories, request, response, bytes);
          return;
        }
        const text = bytes.toString();
        this.received.push({
          line,
          headers: request.headers,
          body: text === '' ? null : (JSON.parse(text) as unknown),
        });
        const { status, body } = this.answers.get(line)?.() ?? { status: 404, body: '404 page not found\n' };
        response.writeHead(status, { server: 'fake upstream' }).end(body);
      });
    });
  }

  static async start(): Promise<FakeUpstream> {
    const upstream = new FakeUpstream();
    await new Promise<void>((resolve) => {
      upstream.server.listen(0, '127.0.0.1', resolve);
    });
    upstream.url = `http://127.0.0.1:${(upstream.server.address() as AddressInfo).port}`;
    return upstream;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  /** Sets the answers to a request line, in order. The last one is repeated. */
  answer(line: string, ...answers: Answer[]): void {
    const left = [...answers];
    this.answers.set(line, () => (left.length > 1 ? left.shift() : left[0]) ?? { status: 404 });
  }

  /** Returns the bodies of the received requests for an operation. */
  bodies(operation: string): unknown[] {
    return this.received.filter(({ line }) => line.endsWith(`/${operation}`)).map(({ body }) => body);
  }
}

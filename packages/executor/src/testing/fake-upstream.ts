import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { httpBackend } from './fake-instance.ts';

interface Received {
  /** `POST /.executors/…` */
  readonly line: string;
  readonly headers: IncomingHttpHeaders;
  /** Parsed; null without one. */
  readonly body: unknown;
}

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
}

/**
 * A fake instance of upstream's kind: it says nothing of our protocol, and to each line of a request it answers what a test
 * told it, in upstream's exact words; 404 to every other.
 */
export class FakeUpstream {
  readonly received: Received[] = [];
  url = '';
  /** Where bare repositories lie that the git route serves; '' for none. */
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

  /** The same to every such request, or to one after the other, the last again and again. */
  answer(line: string, ...answers: Answer[]): void {
    const left = [...answers];
    this.answers.set(line, () => (left.length > 1 ? left.shift() : left[0]) ?? { status: 404 });
  }

  bodies(operation: string): unknown[] {
    return this.received.filter(({ line }) => line.endsWith(`/${operation}`)).map(({ body }) => body);
  }
}

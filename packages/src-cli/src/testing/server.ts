import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { ListenOptions } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A request that the server has received. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A fake instance: it records its requests and answers as the test says. */
export class TestServer {
  readonly requests: Received[] = [];
  answer: (response: ServerResponse) => void = (response) => response.writeHead(202).end('{"id":"42"}');
  /** Answers without reading the body. */
  early = false;
  readonly #server: Server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    const received = this.early ? Promise.resolve(Buffer.alloc(0)) : buffer(request);
    received.then(
      (body) => {
        this.requests.push({ method, url, headers, body });
        this.answer(response);
      },
      () => {}, // the client went away
    );
  });

  /** Returns the port; 0 for a unix socket. */
  async start(where: ListenOptions): Promise<number> {
    await once(this.#server.listen(where), 'listening');
    const address = this.#server.address();
    return typeof address === 'object' ? (address?.port ?? 0) : 0;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

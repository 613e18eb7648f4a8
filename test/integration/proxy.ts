import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';

/** A proxy that accepts only CONNECT and connects every name to this machine, because tests have no names of their own. */
export class ConnectProxy {
  /** The requested targets, as `host:port`. */
  readonly targets: string[] = [];
  /** Whether it accepts connections. */
  allows = true;
  url = '';
  private readonly server: Server;
  private readonly tunnels = new Set<Duplex>();

  constructor() {
    this.server = createServer((_request, response) => response.writeHead(501).end());
    this.server.on('connect', (request, socket, head) => {
      this.targets.push(request.url ?? '');
      this.tunnels.add(socket);
      socket.on('error', () => {});
      if (!this.allows) {
        socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
        return;
      }
      const onward = connect(Number((request.url ?? '').split(':').at(-1)), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.write(head);
        socket.pipe(onward).pipe(socket);
      });
      onward.on('error', () => socket.destroy());
      socket.on('close', () => onward.destroy());
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    for (const tunnel of this.tunnels) tunnel.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A TCP proxy on this machine that delays every byte, in both directions. */
export class DelayProxy {
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((from) => {
    const to = connect(this.port, this.host);
    this.forward(from, to);
    this.forward(to, from);
  });
  private readonly host: string;
  private readonly port: number;
  private readonly delayMs: number;

  /** Forwards to `port` of `host`. */
  constructor(host: string, port: number, delayMs: number) {
    this.host = host;
    this.port = port;
    this.delayMs = delayMs;
  }

  /** Listens on a free port of the same host and returns it. */
  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, this.host, resolve));
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private forward(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => this.sockets.delete(from));
    // Timers of the same length fire in the order in which they were set.
    from.on('data', (bytes) => void sleep(this.delayMs).then(() => to.write(bytes)));
    from.on('end', () => void sleep(this.delayMs).then(() => to.end()));
  }
}

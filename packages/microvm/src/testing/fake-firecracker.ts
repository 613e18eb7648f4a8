import { createServer, type IncomingMessage, type Server } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Socket } from 'node:net';
import { type RequestBody, type RequestName, routes } from '../vmm/firecracker/requests.ts';

/** A request that the stand-in has carried out. */
export interface CarriedOut {
  readonly name: RequestName;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a VM is when a request arrives, and what it becomes. */
const states: Readonly<Record<RequestName, { readonly in: readonly State[]; readonly to?: State }>> = {
  logger: { in: ['new', 'configured'] },
  metrics: { in: ['new', 'configured'] },
  machine: { in: ['new', 'configured'], to: 'configured' },
  bootSource: { in: ['new', 'configured'], to: 'configured' },
  drive: { in: ['new', 'configured'], to: 'configured' },
  vsock: { in: ['new', 'configured'], to: 'configured' },
  networkInterface: { in: ['new', 'configured'], to: 'configured' },
  entropy: { in: ['new', 'configured'], to: 'configured' },
  action: { in: ['configured'], to: 'running' },
  changeDrive: { in: ['running', 'paused'] },
  state: { in: ['running', 'paused'] },
  saveSnapshot: { in: ['paused'] },
  loadSnapshot: { in: ['new'], to: 'paused' },
};
type State = 'new' | 'configured' | 'running' | 'paused';

/**
 * A stand-in for Firecracker that serves its API on one connection and runs no VM. It refuses what Firecracker refuses: a field or
 * a path that it does not know, an id in the path that is not the body's, and a request that the VM's state does not allow.
 */
export class FakeFirecracker {
  readonly carriedOut: CarriedOut[] = [];
  /** Answers the next request with this reason, as if Firecracker refused it. */
  refuseNext: string | null = null;
  private state: State = 'new';
  private readonly server: Server;
  private readonly version: string;
  private readonly onCarriedOut: (request: CarriedOut) => void | Promise<void>;

  /** `onCarriedOut` is called after each request, before its answer. */
  constructor(
    socket: Socket,
    options: {
      readonly version?: string;
      readonly onCarriedOut?: (request: CarriedOut) => void | Promise<void>;
    } = {},
  ) {
    this.version = options.version ?? '1.17.0';
    this.onCarriedOut = options.onCarriedOut ?? (() => {});
    this.server = createServer((request, response) => {
      void this.answer(request).then(({ status, body }) => {
        response.writeHead(status, body === null ? {} : { 'content-type': 'application/json' });
        response.end(body === null ? undefined : JSON.stringify(body));
      });
    });
    this.server.keepAliveTimeout = 0;
    this.server.emit('connection', socket);
  }

  private async answer(request: IncomingMessage): Promise<{ status: number; body: object | null }> {
    const fault = (why: string) => ({ status: 400, body: { fault_message: why } });
    const { method = '', url = '' } = request;
    if (method === 'GET' && url === '/version')
      return { status: 200, body: { firecracker_version: this.version } };
    const body = (await json(request).catch(() => null)) as Record<string, unknown> | null;
    const why = this.refuseNext;
    this.refuseNext = null;
    if (why !== null) return fault(why);
    const [, first = '', id = ''] = /^\/(drives|network-interfaces)\/(.+)$/.exec(url) ?? [];
    const field = first === 'drives' ? 'drive_id' : 'iface_id';
    const path = first === '' ? url : `/${first}/{${field}}`;
    const found = Object.entries(routes).find(([, route]) => route.method === method && route.path === path);
    if (!found) return fault(`Invalid request method and/or path: ${method} ${url}`);
    const [name, route] = found as [RequestName, (typeof found)[1]];
    const parsed = route.body.safeParse(body);
    if (!parsed.success)
      return fault(`An error occurred when deserializing the json body: ${parsed.error.message}`);
    if (id !== '' && id !== body?.[field])
      return fault('The id from the path does not match the id from the body!');
    if (!states[name].in.includes(this.state))
      return fault('The requested operation is not supported in this state of the microVM');
    this.state = states[name].to ?? this.state;
    if (name === 'state')
      this.state = (body as RequestBody<'state'>).state === 'Paused' ? 'paused' : 'running';
    this.carriedOut.push({ name, body: body ?? {} });
    await this.onCarriedOut({ name, body: body ?? {} });
    return { status: 204, body: null };
  }
}

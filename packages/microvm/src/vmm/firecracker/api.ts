import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import * as z from 'zod';
import { guestNotReady } from '../../errors.ts';
import { type RequestBody, type RequestName, routes } from './requests.ts';

/** The API of one Firecracker process. Errors of every call: `guest_not_ready`, with what Firecracker says. */
export interface FirecrackerApi {
  /** Returns Firecracker's version as it names it: `1.17.0`. */
  version(): Promise<string>;
  /** Sends a request. Requests are answered in their order. */
  send<Name extends RequestName>(name: Name, body: RequestBody<Name>): Promise<void>;
  close(): void;
}

/** The largest answer, bytes: a guest may have taken over the VMM, so its answers are bounded and checked. */
const answerMax = 65_536;
const versionAnswer = z.object({ firecracker_version: z.string().max(100) });
const fault = z.object({ fault_message: z.string() });

/** The client of each connection: two of them would read each other's answers. */
const clients = new WeakMap<Socket, FirecrackerApi>();

/**
 * Speaks Firecracker's API on one connection, which was made before the guest ran. There is no second one: when this connection
 * ends, every call fails.
 */
export function openFirecrackerApi(socket: Socket): FirecrackerApi {
  const client = clients.get(socket) ?? makeClient(socket);
  clients.set(socket, client);
  return client;
}

function makeClient(socket: Socket): FirecrackerApi {
  // Loaded with the first VM of Firecracker: a helper whose VMs run on QEMU does without the 20 MB of memory that HTTP takes.
  const { Agent, request: httpRequest } = process.getBuiltinModule('node:http');
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let isTaken = false;
  agent.createConnection = (_options, callback) => {
    if (isTaken) {
      callback?.(new Error('the connection to the VMM closed'), socket);
      return null;
    }
    isTaken = true;
    return socket;
  };
  socket.on('error', () => {}); // the pending call reports it

  const call = (method: string, path: string, body?: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const failed = (why: string) => reject(guestNotReady(`${method} ${path} failed: ${why}`));
      const request = httpRequest({ agent, method, path, headers: body ? headers : {} });
      request.on('error', (error) => failed(error.message));
      let isAnswered = false;
      // Answers that end the use of the protocol bring neither a response nor an error.
      request.on('close', () => isAnswered || failed('the VMM gave no answer'));
      request.on('response', (response) => {
        isAnswered = true;
        readAnswer(response).then(
          (answer) => (isSuccess(response) ? resolve(answer) : failed(faultOf(answer, response.statusCode))),
          (error: Error) => {
            socket.destroy();
            failed(error.message);
          },
        );
      });
      request.end(text);
    });

  return {
    async version() {
      const parsed = versionAnswer.safeParse(parseJson(await call('GET', '/version')));
      if (!parsed.success) throw guestNotReady('Firecracker does not say which version it is');
      return parsed.data.firecracker_version;
    },
    async send(name, body) {
      const { method, path, body: schema } = routes[name];
      const checked = schema.parse(body) as Record<string, unknown>;
      await call(
        method,
        path.replace(/\{(\w+)\}/, (_, field: string) => String(checked[field])),
        checked,
      );
    },
    close() {
      agent.destroy();
      socket.destroy();
    },
  };
}

const isSuccess = ({ statusCode = 0 }: IncomingMessage) => statusCode === 200 || statusCode === 204;

async function readAnswer(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) {
    text += (chunk as Buffer).toString('utf8');
    if (text.length > answerMax) throw new Error(`its answer is longer than ${answerMax} bytes`);
  }
  return text;
}

/** Returns Firecracker's reason, cut to 500 characters and without unprintable ones. */
function faultOf(answer: string, status: number | undefined): string {
  const parsed = fault.safeParse(parseJson(answer));
  const reason = parsed.success ? parsed.data.fault_message : `status ${status}`;
  return reason.replaceAll(/[^\x20-\x7e]/g, ' ').slice(0, 500);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { systemClock } from '@fumehood/base';
import { parseEgressPolicy, type Receipt } from '@fumehood/protocol';
import packet from 'dns-packet';
import { ConnectionBudget } from '../budget.ts';
import { Aliases } from '../aliases.ts';
import { openDialer } from '../dialer.ts';
import { type GatewayDeps, openGateway } from '../gateway.ts';
import { type GuestLimits, guestLimits } from '../limits.ts';

/** The address at which a test's guest reaches the gateway: all of 127.0.0.0/8 is local, as all of the world is to a guest. */
export const address = '127.9.9.9';

/** A guest whose network a gateway of this process serves. */
export interface ServedGuest {
  /** The port of `mirror.test`, which is at `address` and opened on this executor. What is dialled goes to the test's server. */
  readonly port: number;
  readonly receipts: readonly Receipt[];
  /** Connects to `mirror.test`, or to another address of 127.0.0.0/8. */
  connect(to?: string): Socket;
  /** Sends a datagram to the name server and resolves with the answer. */
  ask(message: Buffer): Promise<Buffer>;
  /** Asks for the addresses of a name. */
  lookUp(name: string): Promise<packet.Packet>;
  close(): Promise<void>;
}

/** Serves a guest under a policy. The name `mirror.test` exists, and no other one. */
export async function serveGuest(
  policy: string,
  server: Server,
  { limits = {}, ...deps }: Partial<Omit<GatewayDeps, 'limits'>> & { limits?: Partial<GuestLimits> } = {},
): Promise<ServedGuest> {
  const guestSide = createServer().listen(0, '0.0.0.0');
  const questions = createSocket('udp4').bind(0, '127.0.0.1');
  server.listen(0, '127.0.0.1');
  await Promise.all([guestSide, questions, server].map((one) => once(one, 'listening')));
  const { port } = guestSide.address() as AddressInfo;
  const { port: questionPort } = questions.address();
  const { port: dialled } = server.address() as AddressInfo;
  // Both take over the socket, as they do that of another process.
  const handleOf = (socket: object) => (socket as { _handle: object })._handle;
  const state = Object.getOwnPropertySymbols(questions).find(
    ({ description }) => description === 'state symbol',
  ) as symbol;
  const udp = (questions as unknown as Record<symbol, { handle: object }>)[state] as { handle: object };
  const receipts: Receipt[] = [];
  const gateway = await openGateway(
    { connections: handleOf(guestSide), questions: udp.handle },
    {
      ...{ policy: parseEgressPolicy(policy), privateHosts: [{ name: 'mirror.test', port }] },
      ...{ own: new Set<string>(), ceiling: { mode: 'none' }, broker: [] },
    },
    {
      clock: systemClock,
      resolve: async (name) =>
        name === 'mirror.test'
          ? { code: 'ok', addresses: [address], ttlSeconds: 60 }
          : { code: 'no_such_name' },
      dial: () => openDialer(null)({ name: null, addresses: ['127.0.0.1'], port: dialled }),
      hasProxy: () => false,
      aliases: new Aliases('127.18'),
      onReceipt: (receipt) => receipts.push(receipt),
      budget: new ConnectionBudget(1_000),
      ...deps,
      limits: { ...guestLimits, ...limits },
    },
  );
  const ask = async (message: Buffer) => {
    const socket = createSocket('udp4');
    socket.send(message, questionPort, '127.0.0.1');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    socket.close();
    return answer;
  };
  return {
    port,
    receipts,
    connect: (to = address) => connect({ host: to, port, allowHalfOpen: true }),
    ask,
    lookUp: async (name) =>
      packet.decode(await ask(packet.encode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }))),
    async close() {
      await gateway.close();
      guestSide.close();
      server.close();
    },
  };
}

/** A server that sends back what it gets, and ends when its client does. */
export const echo = () =>
  createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket).on('error', () => {}));

/** Resolves with what a socket's end was: its text, or the code of its error. */
export const endOf = (socket: Socket): Promise<string | undefined> =>
  text(socket).catch((error: NodeJS.ErrnoException) => error.code);

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@fumehood/base';
import type { Aliases } from './aliases.ts';
import { BoundedReceipts } from './bounded-receipts.ts';
import type { ConnectionBudget } from './budget.ts';
import { decideConnection, decideServerName, type EgressRules, type Verdict } from './decide.ts';
import { type Dial, streamOptions } from './dialer.ts';
import { Bucket, type GuestLimits } from './limits.ts';
import { openLookups } from './lookups.ts';
import { openBroker } from './broker/broker.ts';
import type { BrokerGrant, EgressPolicy, Receipt, Refusal } from '@fumehood/protocol';
import { Meter } from './meter.ts';
import { relay } from './relay.ts';
import { Pins } from './pins.ts';
import type { Resolve } from './resolver.ts';

/** What a guest may reach, and by whose leave. */
export interface Permitted extends EgressRules {
  /** What any guest of this executor may reach: the broker reaches no more. */
  readonly ceiling: EgressPolicy;
  /** The entries of the broker, with their credentials. */
  readonly broker: readonly BrokerGrant[];
}

/** What a gateway needs besides the sockets of its guest. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly resolve: Resolve;
  /** Connects to what was decided about. */
  readonly dial: Dial;
  /** Whether connections to this name go through an HTTP proxy. */
  readonly hasProxy: (name: string) => boolean;
  /** The addresses that stand for names of this guest. */
  readonly aliases: Aliases;
  readonly onReceipt: (receipt: Receipt) => void;
  readonly limits: GuestLimits;
  /** The connections of all guests. */
  readonly budget: ConnectionBudget;
}

/** Serves the network of one guest. */
export interface Gateway {
  /** Ends all connections. Resolves when every receipt was given. */
  close(): Promise<void>;
}

/** A connection of the guest that is served. */
interface Running {
  end(): void;
  readonly ended: Promise<void>;
}

/** The address of the gateway and of its name server, as `network.c` of the package microvm has it. */
const gatewayAddress = '172.31.0.1';
const namePort = 53;
const brokerPort = 80;

/**
 * Serves the handles of a guest's network: a listener that accepts all of its TCP, to whichever address, and a UDP socket for its questions of
 * DNS. The policy decides about each; what it allows is dialled from here.
 */
export async function openGateway(
  handles: { readonly connections: object; readonly questions: object },
  { ceiling, broker: grants, ...rules }: Permitted,
  deps: GatewayDeps,
): Promise<Gateway> {
  const { clock, dial, limits } = deps;
  const { policy } = rules;
  const pins = new Pins(clock);
  const receipts = new BoundedReceipts(new Bucket(limits.receiptsPerSecond), deps.onReceipt);
  const onReceipt = (receipt: Receipt) => receipts.add(receipt);
  const { aliases, resolve, hasProxy } = deps;
  const meter = new Meter(limits);
  const broker =
    grants.length === 0
      ? null
      : openBroker(grants, { ...deps, onReceipt, meter, rules: { ...rules, policy: ceiling } });
  const own = { names: broker?.names ?? new Set<string>(), address: gatewayAddress };
  const lookups = openLookups({ rules, own, pins, aliases, resolve, hasProxy, clock, limits, onReceipt });
  const share = deps.budget.join();
  const rate = new Bucket(limits.connectionsPerSecond);
  const relays = new Set<Running>();
  const track = (running: Running) => {
    relays.add(running);
    void running.ended.then(() => {
      relays.delete(running);
      share.release();
    });
  };

  /** Returns which limit one more connection would exceed. If none, the connection has its place in the budget. */
  const exceeded = (): (Verdict & { allowed: false }) | null => {
    const { connections, connectionsPerSecond } = limits;
    const refused = (reason: Refusal, rule: string) => ({ allowed: false, rule, reason }) as const;
    if (!rate.take())
      return refused('connection_rate', `a guest makes at most ${connectionsPerSecond} connections a second`);
    if (meter.isSpent) return { allowed: false, ...meter.refusal };
    if (relays.size >= connections)
      return refused('connections', `a guest has at most ${connections} connections at the same time`);
    if (share.take()) return null;
    return refused('connections', 'this executor has no room for more connections of this guest');
  };
  const serve = (socket: Socket) => {
    const address = socket.localAddress ?? '';
    const port = socket.localPort ?? 0;
    socket.on('error', () => {}); // `close` follows
    const at = clock.now();
    const limit = exceeded();
    if (!limit && address === gatewayAddress && port === namePort) {
      socket.once('close', () => share.release());
      void lookups.serveStream(socket);
      return;
    }
    if (!limit && broker && address === gatewayAddress && port === brokerPort)
      return track(broker.serve(socket));
    const names = pins.namesOf(address);
    const targets = aliases.targetsOf(address);
    const connection = { address, port, names, targets };
    const decided = decideConnection(rules, connection);
    const verdict: Verdict = limit ?? decided;
    const facts = { at, kind: 'connection', name: decided.name, address, port } as const;
    if (!verdict.allowed) {
      if (!limit) share.release();
      socket.resetAndDestroy();
      onReceipt({
        ...facts,
        serverName: null,
        sentBytes: 0,
        receivedBytes: 0,
        verdict: 'refused',
        rule: verdict.rule,
        reason: verdict.reason,
      });
      return;
    }
    const observes = policy.mode === 'learn';
    const checked =
      observes || policy.mode === 'allow'
        ? { decide: (name: string | null) => decideServerName(rules, connection, name), observes }
        : null;
    const dialled = dial({ name: targets && decided.name, addresses: targets ?? [address], port });
    track(
      relay(socket, dialled, checked, { limits, meter }, (outcome) => {
        const { serverName } = outcome;
        const name = serverName !== null && names.includes(serverName) ? serverName : decided.name;
        const reason = observes && name === null ? 'policy_address' : null;
        onReceipt({ ...facts, name, rule: verdict.rule, reason, ...outcome });
      }),
    );
  };
  const server: Server = createServer({ ...streamOptions, pauseOnConnect: true }, serve);
  server.on('error', () => {}); // out of descriptors: a connection is lost, and the guest tries again
  const listening = once(server, 'listening');
  server.listen(handles.connections);
  const questions: UdpSocket = createSocket('udp4');
  questions.on('error', () => {}); // an answer that could not be sent is asked for again
  questions.on('message', (message, { address, port }) => {
    void lookups.answer(message).then((answer) => {
      if (answer && !closed) questions.send(answer, port, address);
    });
  });
  let closed = false;
  questions.bind(handles.questions as unknown as { fd: number });
  await listening;
  return {
    async close() {
      closed = true;
      server.close();
      questions.close();
      lookups.close();
      const running = [...relays];
      for (const one of running) one.end();
      await Promise.all(running.map(({ ended }) => ended));
      await broker?.close();
      share.leave();
      receipts.end();
    },
  };
}

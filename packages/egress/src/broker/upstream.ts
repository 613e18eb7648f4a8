import { once } from 'node:events';
import type { Agent, ClientRequest, OutgoingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Refusal } from '@fumehood/protocol';
import { decideConnection, decideName, decideUnresolved, type EgressRules } from '../decide.ts';
import type { Dial } from '../dialer.ts';
import type { Resolve } from '../resolver.ts';
import type { Target } from './targets.ts';

/** What reaches the servers of entries. */
export interface UpstreamDeps {
  /** What this executor lets any guest reach: the broker reaches no more. */
  readonly rules: EgressRules;
  readonly resolve: Resolve;
  readonly dial: Dial;
  /** Whether connections to this name go through an HTTP proxy. */
  readonly hasProxy: (name: string) => boolean;
}

/** Something that the broker does not do, or whose rules the network has. */
export class Refused extends Error {
  readonly reason: Refusal;
  constructor(message: string, reason: Refusal = 'broker') {
    super(message);
    this.reason = reason;
  }
}

/** Connections to one server at the same time, and how long one without a request is kept, ms. */
const connectionsMax = 16;
const idleMs = 20_000;
const connectMs = 30_000;

/** Sends requests to the servers of entries. */
export interface Upstream {
  /** Begins a request, which the caller ends. It emits `error` with `Refused` where the rules refuse the server. */
  request(
    target: Target,
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
  ): ClientRequest;
  close(): void;
}

/** Each connection is resolved, checked and dialled as one that the guest asks for, and TLS is verified for the name of the entry. */
export function openUpstream(deps: UpstreamDeps): Upstream {
  const http = process.getBuiltinModule('node:http');
  const agents = new Map<Target, Agent>();
  const agentOf = (target: Target) => {
    const agent = new http.Agent({
      ...{ keepAlive: true, maxSockets: connectionsMax, maxFreeSockets: connectionsMax, timeout: idleMs },
    });
    agent.createConnection = (_options, callback) => {
      connect(deps, target).then(
        (socket) => callback?.(null, socket),
        (error: Error) => callback?.(error, undefined as unknown as Duplex),
      );
      return undefined;
    };
    agents.set(target, agent);
    return agent;
  };
  return {
    request: (target, method, path, headers, signal) =>
      http.request({
        ...{ method, path, signal, setHost: false, agent: agents.get(target) ?? agentOf(target) },
        headers: { ...headers, host: target.host },
      }),
    close() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

/** Errors: `Refused`, and those of the network and of TLS. */
async function connect({ rules, resolve, dial, hasProxy }: UpstreamDeps, target: Target): Promise<Duplex> {
  const { hostname, port } = target;
  const named = decideName(rules, hostname);
  if (!named.allowed) throw new Refused(`this executor does not allow it: ${named.rule}`, named.reason);
  const found = await resolve(hostname);
  const addresses = found.code === 'ok' ? found.addresses : [];
  const isUnresolved = addresses.length === 0;
  if (isUnresolved && !hasProxy(hostname))
    throw new Error(
      found.code === 'failed' ? 'the name servers did not answer' : `there is no address of ${hostname}`,
    );
  if (isUnresolved) {
    const verdict = decideUnresolved(rules, hostname);
    if (!verdict.allowed) throw new Refused(verdict.rule, verdict.reason);
  }
  for (const address of isUnresolved ? [hostname] : addresses) {
    const connection = { address, port, names: [hostname], targets: isUnresolved ? [] : null };
    const verdict = decideConnection(rules, connection);
    if (!verdict.allowed) throw new Refused(`${address}: ${verdict.rule}`, verdict.reason);
  }
  const { socket, ready } = dial({ name: hostname, addresses, port });
  const signal = AbortSignal.timeout(connectMs);
  try {
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    await ready;
    if (target.protocol === 'http:') return socket;
    const secure = process.getBuiltinModule('node:tls').connect({
      socket,
      servername: hostname,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
    });
    await once(secure, 'secureConnect', { signal });
    return secure;
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? new Error('it did not answer in time') : error;
  }
}

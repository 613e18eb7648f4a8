import { type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import {
  type Clock,
  type Identity,
  receiveMessages,
  sendMessage,
  startChild,
  untilStarted,
} from '@fumehood/base';
import { type EgressCall, egressAnswerSchema } from '@fumehood/egress';
import { type NetworkHandle, networkHandleNames, type NetworkHandles } from '@fumehood/microvm';
import type { BrokerGrant, EgressPolicy, PrivateHost, QueueName, Receipt } from '@fumehood/protocol';
import * as z from 'zod';
import { egressFailed } from '../errors.ts';
import type { OpenedHost } from './config.ts';
import type { Log } from '../log.ts';

/** The networks of the guests, which a process of their own serves: it has no privilege and no credential, and leases nothing. */
export interface Networks {
  /** Has a guest's network served. Errors: `egress_failed`. */
  open(
    id: number,
    handles: NetworkHandles,
    limits: {
      readonly policy: EgressPolicy;
      readonly broker: readonly BrokerGrant[];
      /** The queue of the job; null: of none. */
      readonly queue: QueueName | null;
    },
    onReceipt: (receipt: Receipt) => void,
  ): Promise<void>;
  /** Ends what is left of a guest's network. Resolves after its last receipt. Never rejects. */
  close(id: number): Promise<void>;
  /** Ends the process. Resolves when nothing of it is left. Never rejects. */
  stop(): Promise<void>;
}

/** Makes a cgroup for the process, and returns the files by which it joins. */
export type GroupNetworks = () => Promise<{ readonly joinFiles: readonly string[]; remove(): Promise<void> }>;

/** How long that process may take to end the connections of a guest, and itself, ms. */
const closeMs = 2_000;

/** Explains why the guest of a job reaches nothing any more: its sockets have ended with the process that served them. */
function endedReceipt(at: number): Receipt {
  const nothing = { name: null, address: null, port: null, serverName: null, sentBytes: 0, receivedBytes: 0 };
  const rule = 'the process that serves the networks of guests has ended on this executor';
  return { at, kind: 'connection', ...nothing, verdict: 'refused', rule, reason: 'gateway_ended' };
}

/** Returns the hosts that are opened to the guests of a queue's jobs. */
export function openedFor(hosts: readonly OpenedHost[], queue: QueueName | null): PrivateHost[] {
  return hosts
    .filter(({ queues }) => queues === null || (queue !== null && queues.includes(queue)))
    .map(({ name, port }) => ({ name, port }));
}

/** Starts the process that serves networks when the first guest needs it, and again when it has died. */
export function openNetworks(
  program: {
    readonly node: string;
    readonly script: string;
    readonly config: string;
    readonly identity: Identity | null;
    /** Puts the process into a cgroup of its own; null where none can be made. */
    readonly group: GroupNetworks | null;
  },
  { ceiling, privateHosts }: { readonly ceiling: EgressPolicy; readonly privateHosts: readonly OpenedHost[] },
  clock: Clock,
  log: Pick<Log, 'warn'>,
): Networks {
  let starting: Promise<ChildProcess> | null = null;
  const open = new Map<
    number,
    { onReceipt: (receipt: Receipt) => void; closed: PromiseWithResolvers<void> }
  >();
  const call = (child: ChildProcess, message: EgressCall, handle?: NetworkHandle) =>
    sendMessage(child, message, handle as unknown as Socket);

  /** Resolves when the process before has ended and its cgroup is gone: the next one has a cgroup of the same name. */
  let ended = Promise.resolve();
  const start = async () => {
    await ended;
    const group = (await program.group?.()) ?? null;
    const confinement = { joinFiles: group?.joinFiles ?? [] };
    const child = await startChild({ ...program, confinement }).catch((error: Error) => {
      throw egressFailed(error.message);
    });
    receiveMessages(child.process, egressAnswerSchema, (answer) => {
      const network = open.get(answer.id);
      if (answer.type === 'network.receipt') network?.onReceipt(answer.receipt);
      else network?.closed.resolve();
    });
    ended = child.exited.then(async (exit) => {
      starting = null;
      for (const { onReceipt, closed } of open.values()) {
        onReceipt(endedReceipt(clock.now()));
        closed.resolve();
      }
      if (exit.signal !== 'SIGTERM') log.warn({ exit }, 'the process that serves networks has ended');
      await group?.remove();
    });
    await untilStarted(child, z.object({}), egressFailed);
    return child.process;
  };
  return {
    async open(id, handles, { policy, broker, queue }, onReceipt) {
      try {
        starting ??= start().catch((error: unknown) => {
          starting = null;
          throw error;
        });
        const child = await starting;
        open.set(id, { onReceipt, closed: Promise.withResolvers() });
        await call(child, {
          type: 'network.open',
          id,
          policy,
          ceiling,
          privateHosts: openedFor(privateHosts, queue),
          own: ownAddresses(),
          broker: [...broker],
        });
        for (const name of networkHandleNames)
          await call(child, { type: 'network.handle', id, name }, handles[name]);
      } finally {
        for (const handle of Object.values(handles)) handle.close();
      }
    },
    async close(id) {
      const network = open.get(id);
      const child = await starting?.catch(() => null);
      if (network && child) {
        await call(child, { type: 'network.close', id });
        await Promise.race([network.closed.promise, clock.sleep(closeMs)]);
      }
      open.delete(id);
    },
    async stop() {
      const child = await starting?.catch(() => null);
      child?.kill('SIGTERM');
      const late = new AbortController();
      void clock.sleep(closeMs, late.signal).then(
        () => child?.kill('SIGKILL'),
        () => {}, // it has ended
      );
      await ended;
      late.abort();
    },
  };
}

/** The addresses of this machine, also the public ones: a guest reaches no service of its host. */
const ownAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((some) => some?.map(({ address }) => address) ?? []);

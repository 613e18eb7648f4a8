import { type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
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
import type { EgressPolicy, PrivateHost, Receipt } from '@fumehood/protocol';
import * as z from 'zod';
import { egressFailed } from '../errors.ts';
import type { Log } from '../log.ts';

/** The networks of the guests, which a process of their own serves: it has no privilege and no credential, and leases nothing. */
export interface Networks {
  /** Has a guest's network served. Errors: `egress_failed`. */
  open(
    id: number,
    handles: NetworkHandles,
    policy: EgressPolicy,
    onReceipt: (receipt: Receipt) => void,
  ): Promise<void>;
  /** Ends what is left of a guest's network. Resolves after its last receipt. Never rejects. */
  close(id: number): Promise<void>;
  /** Ends the process. */
  stop(): void;
}

/** How long that process may take to end the connections of a guest, ms. */
const closeMs = 2_000;

/** Starts the process that serves networks when the first guest needs it, and again when it has died. */
export function openNetworks(
  program: {
    readonly node: string;
    readonly script: string;
    readonly config: string;
    readonly identity: Identity | null;
  },
  privateHosts: readonly PrivateHost[],
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

  const start = async () => {
    const child = await startChild(program);
    receiveMessages(child.process, egressAnswerSchema, (answer) => {
      const network = open.get(answer.id);
      if (answer.type === 'network.receipt') network?.onReceipt(answer.receipt);
      else network?.closed.resolve();
    });
    void child.exited.then((exit) => {
      starting = null;
      for (const { closed } of open.values()) closed.resolve();
      if (exit.signal !== 'SIGTERM') log.warn({ exit }, 'the process that serves networks has ended');
    });
    await untilStarted(child, z.object({}), egressFailed);
    return child.process;
  };
  return {
    async open(id, handles, policy, onReceipt) {
      try {
        starting ??= start().catch((error: unknown) => {
          starting = null;
          throw error;
        });
        const child = await starting;
        open.set(id, { onReceipt, closed: Promise.withResolvers() });
        await call(child, { type: 'network.open', id, policy, privateHosts: [...privateHosts] });
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
    stop() {
      void starting?.then((child) => child.kill('SIGTERM')).catch(() => {});
    },
  };
}

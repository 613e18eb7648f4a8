import type { Socket } from 'node:net';
import type { Receipt, Refusal } from '@fumehood/protocol';
import type { Verdict } from './decide.ts';
import type { GuestLimits } from './limits.ts';
import type { Dialled } from './dialer.ts';
import { abort, copy, type Meter } from './meter.ts';
import { readHello } from './tls-hello.ts';

/** How the server name of a TLS connection is checked. */
export interface CheckedName {
  decide(serverName: string | null): Verdict;
  /** The connection goes on whatever the check says, and its receipt has why it would be refused. */
  readonly observes: boolean;
}

type End = Pick<Receipt, 'verdict'> & { readonly rule?: string; readonly reason?: Refusal };
/** How a connection ended. Without a rule or a reason, those of its permission stand. */
type Outcome = Pick<Receipt, 'serverName' | 'sentBytes' | 'receivedBytes'> & End;

/**
 * Connects a guest's socket, which is paused, with one that is being dialled. Each end of a stream and each reset is passed on as what it is. With
 * `checked`, the first bytes of the guest are held back until they are no TLS, or TLS for an allowed name. Calls `onEnd` once. The guest's limits end
 * what takes too long.
 */
export function relay(
  guest: Socket,
  { socket: server, ready }: Dialled,
  checked: CheckedName | null,
  { limits, meter }: { readonly limits: GuestLimits; readonly meter: Meter },
  onEnd: (outcome: Outcome) => void,
): { end(): void; readonly ended: Promise<void> } {
  const ended = Promise.withResolvers<void>();
  let serverName: string | null = null;
  let outcome: End = { verdict: 'allowed' };
  const reset = (why?: End) => {
    if (why && outcome.verdict === 'allowed') outcome = why;
    for (const socket of [guest, server]) abort(socket);
  };
  /** Whether the guest or this side has ended the connection, so that what becomes of it is no failure of the server. */
  let isStopped = false;
  const stop = () => {
    isStopped = true;
    reset();
  };
  let open = 2;
  const closed = () => {
    open -= 1;
    if (open > 0) return;
    clearTimeout(hello);
    onEnd({
      serverName,
      sentBytes: server.bytesWritten - askedBytes,
      receivedBytes: guest.bytesWritten,
      ...outcome,
    });
    ended.resolve();
  };
  /** Runs from the first byte of a hello to its last. */
  let hello: NodeJS.Timeout | undefined;
  const dialling = setTimeout(
    () => reset({ verdict: 'failed', rule: 'the server did not answer in time' }),
    limits.dialMs,
  );
  const spent = () => reset({ verdict: 'refused', ...meter.refusal });
  /** Bytes that were written to get the connection, before the guest's. */
  let askedBytes = 0;
  const begin = () => {
    clearTimeout(dialling);
    askedBytes = server.bytesWritten;
    copy(server, guest, meter, spent);
    if (checked) guest.on('data', takeHeld).once('end', endHeld);
    else copy(guest, server, meter, spent);
    guest.resume();
  };
  ready.then(begin, ({ code, message }: NodeJS.ErrnoException) => {
    if (isStopped) return;
    reset({
      verdict: 'failed',
      rule: `the server could not be reached (${(code ?? message).slice(0, 200)})`,
    });
  });
  guest.on('error', stop);
  server.on('error', () => {}); // `close` follows
  for (const socket of [guest, server]) {
    socket.setTimeout(limits.idleMs, () => reset());
    socket.once('end', () => {
      for (const one of [guest, server]) one.setTimeout(limits.halfIdleMs);
    });
    socket.once('close', (failed: boolean) => {
      clearTimeout(dialling);
      if (failed && socket === guest) stop();
      else if (failed) reset();
      closed();
    });
  }

  /** What the guest has sent before its server name was checked; null afterwards. */
  let held: Buffer | null = checked && Buffer.alloc(0);
  function takeHeld(chunk: Buffer): void {
    hello ??= setTimeout(refuseHello, limits.helloMs, 'hello', 'the TLS hello did not end in time');
    held = Buffer.concat([held as Buffer, chunk]);
    const first = readHello(held);
    if (first.kind === 'incomplete') return;
    if (first.kind === 'unreadable') return refuseHello('hello', `TLS: ${first.why}`);
    if (first.kind === 'hello') {
      ({ serverName } = first);
      const verdict = (checked as CheckedName).decide(serverName);
      if (!verdict.allowed) return refuseHello(verdict.reason, verdict.rule);
    }
    passHeld();
  }
  /** The guest sends no more: half a hello stays one. */
  function endHeld(): void {
    if (held === null) return; // the end is copied with the rest
    if (held.length === 0) passHeld();
    else refuseHello('hello', 'the TLS hello did not end');
    server.end();
  }
  function refuseHello(reason: Refusal, rule: string): void {
    if (!checked?.observes) return reset({ verdict: 'refused', reason, rule });
    outcome = { ...outcome, reason };
    passHeld();
  }
  function passHeld(): void {
    guest.off('data', takeHeld);
    clearTimeout(hello);
    const all = held;
    held = null;
    copy(guest, server, meter, spent, all);
  }

  return { end: stop, ended: ended.promise };
}

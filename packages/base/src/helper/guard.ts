import type { ChildProcess } from 'node:child_process';

/** Characters of the longest message that a child may send: far more than any call has. */
const messageMax = 2 ** 20;
/** Messages to a child that may wait until it reads: far more than all calls at once have answers. */
const waitingMax = 10_000;

/** Node's end of an IPC channel: libuv's pipe, which Node hands each chunk that has come. */
interface Pipe {
  onread: (this: Pipe, chunk: ArrayBuffer | undefined) => void;
  /** A descriptor that came with the chunk. */
  pendingHandle: { close(): void } | null;
  [key: symbol]: unknown;
}

/**
 * Guards this process against what an unprivileged child writes into its IPC channel. Node parses the channel itself: without the
 * guard, a line that is not JSON ends this process, as do some messages of Node's own protocol; a line without an end, descriptors
 * and unread answers use it up. Calls `onViolation` once, and ignores everything that the child sends from then on.
 */
export function guardChannel(child: ChildProcess, onViolation: (why: string) => void): void {
  const pipe = propertyOf(child, 'kChannelHandle') as Pipe | undefined;
  // Never without a guard: this fails when the first child starts, should another Node have another channel.
  if (typeof pipe?.onread !== 'function')
    throw new Error('this Node has an IPC channel that cannot be guarded');
  let isBroken = false;
  const violation = (why: string) => {
    if (!isBroken) onViolation(why);
    isBroken = true;
  };
  const guarded = (work: () => void) => {
    try {
      work();
    } catch (error) {
      violation((error as Error).message);
    }
  };

  const read = pipe.onread;
  pipe.onread = function (chunk) {
    if (this.pendingHandle) {
      this.pendingHandle.close();
      this.pendingHandle = null;
      violation('it sent a descriptor');
    }
    if (isBroken && chunk !== undefined) return;
    guarded(() => read.call(this, chunk));
    const unfinished = propertyOf(this, 'kJSONBuffer') as string | undefined;
    if ((unfinished?.length ?? 0) > messageMax)
      violation(`a message is longer than ${messageMax} characters`);
  };

  const emit = child.emit.bind(child) as (event: string, ...args: unknown[]) => boolean;
  child.emit = (event: string, ...args: unknown[]) => {
    const isMessage = event === 'message' || event === 'internalMessage';
    if (!isMessage) return emit(event, ...args);
    if (!isBroken) guarded(() => void emit(event, ...args));
    return true;
  };

  const send = child.send.bind(child) as (...args: unknown[]) => boolean;
  let waiting = 0;
  child.send = (...args: unknown[]) => {
    const sent = args.pop() as (error: Error | null) => void;
    waiting += 1;
    if (waiting > waitingMax) violation('it does not read its answers');
    return send(...args, (error: Error | null) => {
      waiting -= 1;
      sent(error);
    });
  };
}

/** Returns the value of a property whose name is a symbol of Node's. */
function propertyOf(object: object, description: string): unknown {
  const key = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
  return key && (object as Record<symbol, unknown>)[key];
}

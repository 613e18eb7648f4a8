import type { Socket } from 'node:net';
import { guestCommandFailed, guestNotReady, guestProtocol } from '../errors.ts';
import { encodeMessage, messageReader } from './frame.ts';
import { type GuestMessage, parseGuestMessage } from './messages.ts';

type MessageOf<V extends GuestMessage['verb']> = Extract<GuestMessage, { verb: V }>;

/** The host's end of a guest's control stream. */
export interface Control {
  readonly send: (verb: string, fields: readonly (string | number | Uint8Array)[]) => void;
  /**
   * Resolves with the guest's next message of this verb whose first field is `about`; there is one waiter for each pair. Rejects
   * as `broken` does.
   */
  next<V extends GuestMessage['verb']>(verb: V, about?: string): Promise<MessageOf<V>>;
  /** Whether the guest has sent `ready`. */
  isReady(): boolean;
  /** Rejects when the guest breaks the protocol, a command fails, or the stream ends. */
  readonly broken: Promise<never>;
}

/** Reads the control stream and hands each message to its waiter. An unexpected message breaks the protocol. */
export function openControl(socket: Socket): Control {
  const waiters = new Map<string, (message: GuestMessage) => void>();
  const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
  broken.catch(() => {}); // callers that wait for it get the error; without callers it is not an unhandled rejection
  let ready = false;

  const dispatch = (message: GuestMessage) => {
    if (message.verb === 'failed') throw guestCommandFailed(...message.fields);
    if (message.verb === 'ready') {
      if (ready) throw guestProtocol('it sent a second ready');
      ready = true;
    }
    const about = message.verb === 'ready' ? '' : String(message.fields[0]);
    if (message.verb === 'exited' && waiters.has(`started ${about}`))
      throw guestProtocol('it sent exited before started');
    const key = `${message.verb} ${about}`;
    const waiter = waiters.get(key);
    if (waiter) {
      waiters.delete(key);
      waiter(message);
    } else if (message.verb !== 'ready') throw guestProtocol(`it sent an unexpected ${message.verb}`);
  };

  const read = messageReader();
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const message of read(chunk)) dispatch(parseGuestMessage(message));
    } catch (error) {
      socket.removeAllListeners('data');
      breakOff(error);
    }
  });
  socket.resume(); // an accepted connection was paused, so that it could be handed over unread
  socket.on('close', () => breakOff(guestNotReady('its control stream ended')));

  return {
    broken,
    isReady: () => ready,
    send: (verb, fields) => void socket.write(encodeMessage(verb, fields)),
    next<V extends GuestMessage['verb']>(verb: V, about = '') {
      const answer = Promise.race([
        new Promise<MessageOf<V>>((resolve) => {
          waiters.set(`${verb} ${about}`, (message) => resolve(message as MessageOf<V>));
        }),
        broken,
      ]);
      answer.catch(() => {}); // the guest may break off before the caller awaits this
      return answer;
    },
  };
}

import type { Clock } from '@fumehood/base';
import { encodeMessage, type Message, messageReader } from '../channel/frame.ts';
import { frameMax } from '../channel/limits.ts';
import { connectGuest, type Guest } from '../channel/guest.ts';
import type { GuestSockets } from '../vm/spec.ts';
import { vmSockets } from './sockets.ts';

/** The host's end of a channel, and a guest that sends what a test makes it send. */
export interface ScriptedGuest {
  readonly guest: Guest;
  readonly host: GuestSockets;
  readonly vm: GuestSockets;
  /** Sends a message to the host. */
  send(verb: string, ...fields: (string | number | Uint8Array)[]): void;
  /** Resolves with the host's next message. */
  receive(): Promise<{ readonly verb: string; readonly fields: readonly string[] }>;
  close(): void;
}

/** Connects a host to a guest that the test plays. */
export async function scriptedGuest(clock: Clock): Promise<ScriptedGuest> {
  const { host, vm } = await vmSockets();
  const guest = connectGuest(host, clock);
  const messages = messagesOf(vm);
  return {
    ...{ guest, host, vm },
    send: (verb, ...fields) => void vm.control.write(encodeMessage(verb, fields)),
    async receive() {
      const { verb, fields } = (await messages.next()).value as Message;
      return { verb, fields: fields.map((field) => field.toString('latin1')) };
    },
    close() {
      guest.close();
      for (const socket of Object.values(vm)) socket.destroy();
    },
  };
}

async function* messagesOf(vm: GuestSockets): AsyncGenerator<Message> {
  const read = messageReader(frameMax);
  for await (const chunk of vm.control) yield* read(chunk as Buffer);
}

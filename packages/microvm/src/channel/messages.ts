import * as z from 'zod';
import { guestProtocol } from '../errors.ts';
import type { Message } from './frame.ts';
import { guestTextMax, idMax } from './limits.ts';

const text = (max: number) => z.string().max(max);
const number = z
  .string()
  .regex(/^-?\d{1,15}$/)
  .transform(Number);
const count = number.pipe(z.number().nonnegative());
const id = text(idMax);

/** The fields of each message that a guest may send. Any other message ends the VM. */
const shapes = {
  ready: z.tuple([z.literal('1')]),
  knocked: z.tuple([
    z.string().regex(/^[0-9a-f]{32}$/),
    number,
    text(200).regex(/^[\w.+~-]+$/),
    text(512).regex(/^[\w.,:-]*$/),
    z.uuid(),
  ]),
  started: z.tuple([id]),
  exited: z.tuple([
    id,
    number.pipe(z.number().min(-1).max(255)),
    number.pipe(z.number().min(0).max(64)),
    count,
    count,
    z.enum(['exit', 'signal', 'deadline', 'memory', 'start']),
    text(guestTextMax),
  ]),
  collected: z.tuple([
    id,
    count,
    z.enum(['ok', 'missing', 'irregular', 'too-big', 'error']),
    text(guestTextMax),
  ]),
  pong: z.tuple([number]),
  failed: z.tuple([text(32), number, text(guestTextMax)]),
};

/** A message of a guest, with its fields parsed. */
export type GuestMessage = {
  [V in keyof typeof shapes]: { verb: V; fields: z.infer<(typeof shapes)[V]> };
}[keyof typeof shapes];

/** Parses a message of a guest. Errors: `guest_protocol` for an unknown verb or malformed fields. */
export function parseGuestMessage(message: Message): GuestMessage {
  const shape = Object.hasOwn(shapes, message.verb) ? shapes[message.verb as keyof typeof shapes] : null;
  if (!shape) throw guestProtocol(`it sent the unknown verb ${message.verb}`);
  const parsed = shape.safeParse(message.fields.map((field) => field.toString('utf8')));
  if (!parsed.success) throw guestProtocol(`it sent malformed fields of ${message.verb}`);
  return { verb: message.verb, fields: parsed.data } as GuestMessage;
}

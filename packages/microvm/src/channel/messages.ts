import { z } from 'zod';
import { guestProtocol } from '../errors.ts';
import type { Message } from './frame.ts';

const text = (max: number) => z.string().max(max);
const number = z
  .string()
  .regex(/^-?\d{1,15}$/)
  .transform(Number);
const id = text(63);

/** What a guest may say, field by field. Everything else is the end of the VM. */
const shapes = {
  ready: z.tuple([z.literal('1')]),
  knocked: z.tuple([
    z.string().regex(/^[0-9a-f]{32}$/),
    number,
    text(200).regex(/^[\w.+~-]+$/),
    text(512).regex(/^[\w.,:-]*$/),
  ]),
  started: z.tuple([id]),
  exited: z.tuple([
    id,
    number.pipe(z.number().min(-1).max(255)),
    number.pipe(z.number().min(0).max(64)),
    number.pipe(z.number().nonnegative()),
    number.pipe(z.number().nonnegative()),
    z.enum(['exit', 'signal', 'deadline', 'memory', 'start']),
    text(1000),
  ]),
  collected: z.tuple([
    id,
    number.pipe(z.number().nonnegative()),
    z.enum(['ok', 'missing', 'irregular', 'too-big', 'error']),
    text(1000),
  ]),
  pong: z.tuple([number]),
  failed: z.tuple([text(32), number, text(1000)]),
};

export type GuestMessage = {
  [V in keyof typeof shapes]: { verb: V; fields: z.infer<(typeof shapes)[V]> };
}[keyof typeof shapes];

/** A guest's message, checked. Errors: `guest_protocol`. */
export function parseGuestMessage(message: Message): GuestMessage {
  const shape = Object.hasOwn(shapes, message.verb) ? shapes[message.verb as keyof typeof shapes] : null;
  if (!shape) throw guestProtocol(`the verb ${message.verb}`);
  const parsed = shape.safeParse(message.fields.map((field) => field.toString('utf8')));
  if (!parsed.success) throw guestProtocol(`the fields of ${message.verb}`);
  return { verb: message.verb, fields: parsed.data } as GuestMessage;
}

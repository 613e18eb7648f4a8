import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMessage, type Message, messageReader } from '../../channel/frame.ts';
import { fieldsMax, frameMax } from '../../channel/limits.ts';
import { compiled } from './testing/compile.ts';

const echo = compiled('echo', ['control.c', 'frame.c'], ['-Dread=read_piece', '-DANSWER_MAX=FRAME_MAX']);

/** Returns how init reads a control stream: the frames, encoded again, and the reason for the end. */
async function guestReads(stream: Buffer, piece: number): Promise<{ frames: Buffer; end: string }> {
  const guest = spawn(echo.path, [String(piece)], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const port = guest.stdio[3] as Socket;
  port.on('error', () => {}); // it may end with unread bytes; the reason is on its stdout
  const frames: Buffer[] = [];
  port.on('data', (chunk: Buffer) => frames.push(chunk));
  const closed = new Promise((resolve) => port.once('close', resolve));
  port.end(stream);
  const [end, fault] = await Promise.all([
    text(guest.stdout as Socket),
    text(guest.stderr as Socket),
    closed,
  ]);
  expect(fault).toBe('');
  return { frames: Buffer.concat(frames), end };
}

/** Returns how the host reads the same stream. */
function hostReads(stream: Buffer, piece = 1): { frames: Buffer; refused: string | null } {
  const read = messageReader(frameMax);
  const messages: Message[] = [];
  let refused: string | null = null;
  try {
    for (let at = 0; at < stream.length; at += piece) messages.push(...read(stream.subarray(at, at + piece)));
  } catch (error) {
    expect(error).toMatchObject({ code: 'guest_protocol' });
    refused = (error as Error).message;
  }
  return { frames: Buffer.concat(messages.map(({ verb, fields }) => encodeMessage(verb, fields))), refused };
}

const message = fc.record({
  verb: fc.stringMatching(/^[a-z-]{1,32}$/),
  fields: fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }),
});
const stream = fc
  .array(message, { maxLength: 5 })
  .map((messages) => Buffer.concat(messages.map(({ verb, fields }) => encodeMessage(verb, fields))));
/** A stream with some bytes changed, inserted or removed. */
const mutated = fc
  .tuple(stream, fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.nat(255)), { minLength: 1, maxLength: 4 }))
  .map(([bytes, changes]) => {
    const out = [...bytes];
    for (const [at, how, byte] of changes) {
      const put = how === 2 ? [] : [byte];
      out.splice(at % (out.length + 1), how === 0 ? 0 : 1, ...put);
    }
    return Buffer.from(out);
  });
const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

describe('a control stream', () => {
  it('is parsed equally by host and guest, or refused by both', async () => {
    const any = fc.oneof({ weight: 1, arbitrary: stream }, { weight: 3, arbitrary: mutated }, random);
    await fc.assert(
      fc.asyncProperty(any, fc.integer({ min: 1, max: 100 }), async (bytes, piece) => {
        const host = hostReads(bytes);
        const guest = await guestReads(bytes, piece);
        if (host.refused?.includes('without a verb')) {
          // Only the host checks the form of a verb; init has a list of verbs.
          expect(guest.frames.subarray(0, host.frames.length)).toEqual(host.frames);
          return;
        }
        expect(guest.frames).toEqual(host.frames);
        expect(guest.end).toMatch(
          host.refused === null ? /^control port: the host has closed it$/ : /^malformed (frame|fields)$/,
        );
      }),
      { numRuns: 200 },
    );
  });

  it('may hold the largest frame and frames after it', async () => {
    const largest = encodeMessage('file', [Buffer.alloc(frameMax - 12, 7)]);
    const both = Buffer.concat([largest, encodeMessage('ping', [1]), largest]);
    for (const piece of [65_536, 1_000_000])
      expect(await guestReads(both, piece)).toEqual({
        frames: both,
        end: 'control port: the host has closed it',
      });
  });

  it('with the largest number of fields is parsed', async () => {
    const most = encodeMessage(
      'step',
      Array.from({ length: fieldsMax - 1 }, () => 'x'),
    );
    expect(await guestReads(most, 65_536)).toEqual({
      frames: most,
      end: 'control port: the host has closed it',
    });
  });

  it.each([
    ['a length of 0', [0, 0, 0, 0]],
    ['a length above the limit', [1, 0, 40, 0]],
    ['a length of 4 GiB', [255, 255, 255, 255]],
  ])('with %s is refused before the body arrives', async (_what, head) => {
    const bytes = Buffer.from(head);
    expect(hostReads(bytes).refused).toMatch(/a frame of \d+ bytes/);
    expect(await guestReads(bytes, 100)).toEqual({ frames: Buffer.alloc(0), end: 'malformed frame' });
  });

  it('with one field too many is refused by both', async () => {
    const body = Buffer.concat([
      encodeMessage('step', []).subarray(4),
      Buffer.alloc(4 * fieldsMax), // fieldsMax empty fields
    ]);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(body.length);
    const bytes = Buffer.concat([head, body]);
    expect(hostReads(bytes, 1_000).refused).toContain(`more than ${fieldsMax} fields`);
    expect(await guestReads(bytes, 65_536)).toEqual({ frames: Buffer.alloc(0), end: 'malformed fields' });
  });
});

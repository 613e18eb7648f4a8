import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGuestMessage } from './messages.ts';

const parse = (verb: string, ...fields: (string | number)[]) =>
  parseGuestMessage({ verb, fields: fields.map((field) => Buffer.from(String(field))) });
const refused = expect.objectContaining({ code: 'guest_protocol' });
const hex = 'a0'.repeat(16);
const uuid = '01234567-89ab-4cde-8f01-23456789abcd';
const exited = ['id', 0, 0, 10, 20, 'exit', ''] as const;

describe('a guest may send', () => {
  it.each<[string, (string | number)[], unknown[]]>([
    ['ready', [1], ['1']],
    [
      'knocked',
      [hex, 5, '6.1.0-50-cloud-amd64', 'lo,eth0', uuid],
      [hex, 5, '6.1.0-50-cloud-amd64', 'lo,eth0', uuid],
    ],
    ['knocked', [hex, 5, '6.1', '', uuid], [hex, 5, '6.1', '', uuid]],
    ['started', ['id'], ['id']],
    ['exited', [...exited], [...exited]],
    ['exited', ['id', -1, 9, 0, 0, 'signal', ''], ['id', -1, 9, 0, 0, 'signal', '']],
    ['collected', ['id', 5, 'ok', ''], ['id', 5, 'ok', '']],
    ['pong', [7], [7]],
    ['failed', ['mount', 22, 'Invalid argument'], ['mount', 22, 'Invalid argument']],
  ])('%s %j', (verb, fields, parsed) => {
    expect(parse(verb, ...fields)).toEqual({ verb, fields: parsed });
  });
});

describe('a guest must not send', () => {
  const exitedBut = (at: number, value: string | number) =>
    exited.map((field, index) => (index === at ? value : field));

  it.each<[string, (string | number)[]]>([
    ['hello', []],
    ['constructor', []],
    ['__proto__', []],
    ['ready', []],
    ['ready', [2]],
    ['ready', [1, 1]],
    ['knocked', [hex.slice(1), 5, '6.1', 'lo', uuid]],
    ['knocked', [hex.toUpperCase(), 5, '6.1', 'lo', uuid]],
    ['knocked', [hex, 'soon', '6.1', 'lo', uuid]],
    ['knocked', [hex, 5, '6.1\u001b[2J', 'lo', uuid]],
    ['knocked', [hex, 5, '', 'lo', uuid]],
    ['knocked', [hex, 5, '6.1', 'lo eth0', uuid]],
    ['knocked', [hex, 5, '6.1', 'lo']],
    ['knocked', [hex, 5, '6.1', 'lo', 'one']],
    ['started', ['i'.repeat(64)]],
    ['exited', exitedBut(1, 256)],
    ['exited', exitedBut(1, -2)],
    ['exited', exitedBut(2, 65)],
    ['exited', exitedBut(3, -1)],
    ['exited', exitedBut(3, '1e3')],
    ['exited', exitedBut(4, '')],
    ['exited', exitedBut(4, '9'.repeat(16))],
    ['exited', exitedBut(5, 'bored')],
    ['exited', exitedBut(6, 'x'.repeat(1001))],
    ['exited', exited.slice(0, -1)],
    ['collected', ['id', 5, 'fine', '']],
    ['collected', ['id', -5, 'ok', '']],
    ['pong', ['0x1']],
    ['failed', ['v'.repeat(33), 1, '']],
  ])('%s %j', (verb, fields) => {
    expect(() => parse(verb, ...fields)).toThrow(refused);
  });

  it('arbitrary bytes in place of fields: they are parsed or refused with `guest_protocol`', () => {
    const verb = fc.constantFrom('ready', 'knocked', 'started', 'exited', 'collected', 'pong', 'failed');
    const fields = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 10 });
    fc.assert(
      fc.property(verb, fields, (verb, bytes) => {
        try {
          parseGuestMessage({ verb, fields: bytes.map((field) => Buffer.from(field)) });
        } catch (error) {
          expect(error).toMatchObject({ code: 'guest_protocol' });
        }
      }),
    );
  });
});

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openResolver } from './resolver.ts';

const v4 = '192.0.2.1';
const v6 = '2001:db8::1';
/** The addresses of each name by type. Other names do not exist. */
const zone: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'both.org': { A: v4, AAAA: v6 },
  'six.org': { AAAA: v6 },
  'four.org': { A: v4 },
  'none.org': {},
};
let server: Socket;
let asked: string[];

beforeEach(async () => {
  asked = [];
  server = createSocket('udp4').bind(0, '127.0.0.1');
  server.on('message', (message, from) => {
    const { id = 0, questions = [] } = packet.decode(message);
    const { name = '', type = 'A' } = questions[0] ?? {};
    asked.push(type);
    const known = zone[name];
    const data = known?.[type];
    const answers = data === undefined ? [] : [{ type: type as 'A', name, ttl: 60, data }];
    const flags = known ? 0 : 3;
    server.send(packet.encode({ type: 'response', id, flags, questions, answers }), from.port, from.address);
  });
  await once(server, 'listening');
});
afterEach(() => void server.close());

const resolve = (name: string, prefersSix: boolean) =>
  openResolver([`127.0.0.1:${server.address().port}`], prefersSix)(name);

describe('a name is resolved', () => {
  it.each<[string, boolean, readonly string[]]>([
    ['both.org', false, [v4]],
    ['six.org', false, [v6]],
    ['four.org', false, [v4]],
    ['both.org', true, [v6]],
    ['four.org', true, [v4]],
    ['none.org', false, []],
  ])('%s with IPv6 first (%s) to %s', async (name, prefersSix, addresses) => {
    expect(await resolve(name, prefersSix)).toMatchObject({ code: 'ok', addresses });
  });

  it('not a second time when it does not exist', async () => {
    expect(await resolve('gone.org', false)).toEqual({ code: 'no_such_name' });
    expect(asked).toEqual(['A']);
  });
});

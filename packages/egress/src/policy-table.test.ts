import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { parseEgressPolicy } from '@fumehood/protocol';
import packet from 'dns-packet';
import { expect, it, vi } from 'vitest';
import { Aliases } from './aliases.ts';
import { decideConnection, type EgressRules } from './decide.ts';
import { guestLimits } from './limits.ts';
import { openLookups } from './lookups.ts';
import { Pins } from './pins.ts';
import { extension, hello, serverName } from './testing/hellos.ts';
import { allowPolicy, ownAddress, policyTable, zone } from './testing/policy-table.ts';
import { echo, endOf, serveGuest } from './testing/served-guest.ts';

// The network of the served guests is loopback, which no operator can open.
vi.mock('./addresses.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  isOpenable: () => true,
}));

const policies = { allow: allowPolicy, public: 'public' } as const;
const attempts = policyTable.flatMap((row) =>
  (['allow', 'public'] as const).flatMap((policy) =>
    row.attempts.map((attempt) => ({ ...row, policy, attempt, verdict: row[policy] })),
  ),
);

/** Opens what decides for a guest, with the name servers of the table. */
function open(policy: keyof typeof policies) {
  const rules: EgressRules = {
    ...{ policy: parseEgressPolicy(policies[policy]), privateHosts: [], own: new Set([ownAddress]) },
  };
  const pins = new Pins(systemClock);
  const asked: string[] = [];
  const lookups = openLookups({
    ...{ rules, pins, clock: systemClock, limits: guestLimits, onReceipt() {} },
    ...{ own: { names: new Set(), address: '172.31.0.1' }, aliases: new Aliases(), hasProxy: () => false },
    resolve: async (name) => {
      asked.push(name);
      const answers = zone[name];
      if (!answers) return { code: 'no_such_name' };
      const addresses = answers[asked.filter((one) => one === name).length - 1] ?? answers.at(-1) ?? [];
      return { code: 'ok', addresses, ttlSeconds: 0 };
    },
  });
  const ask = async (name: string, type: 'A' | 'AAAA' = 'A') => {
    const question = packet.encode({ type: 'query', id: 1, questions: [{ type, name }] });
    const answer = packet.decode((await lookups.answer(question)) as Buffer);
    if ((answer as { rcode?: string }).rcode === 'NXDOMAIN') return 'no such name';
    return answer.answers?.length ? 'resolved' : 'no address';
  };
  const connect = (address: string) =>
    decideConnection(rules, { address, port: 80, names: pins.namesOf(address) }).allowed
      ? 'allowed'
      : 'reset';
  return { ask, connect, asked };
}

const hellos = {
  'other name': hello([serverName('evil.test')]),
  'no name': hello([]),
  encrypted: hello([serverName('mirror.test'), extension(0xfe0d, Buffer.alloc(8))]),
  broken: Buffer.from([22, 3, 1, 0, 0]),
};

it.each(attempts.filter(({ attempt }) => 'ask' in attempt))(
  '$tries: $attempt under $policy is answered with "$verdict"',
  async ({ attempt, policy, verdict }) => {
    if (!('ask' in attempt)) return;
    const { ask, asked } = open(policy);
    if (attempt.ask === 'rebind.test') expect(await ask(attempt.ask)).toBe('resolved');
    expect(await ask(attempt.ask, attempt.type)).toBe(verdict);
    // A name that the policy does not have carries nothing out.
    if (policy === 'allow') expect(asked).not.toContain('other.example');
  },
);

it.each(attempts.filter(({ attempt }) => 'connect' in attempt))(
  '$tries: $attempt under $policy is "$verdict"',
  async ({ attempt, policy, verdict }) => {
    if (!('connect' in attempt)) return;
    const { ask, connect } = open(policy);
    if (attempt.after !== undefined) await ask(attempt.after);
    expect(connect(attempt.connect)).toBe(verdict);
  },
);

it.each(attempts.filter(({ attempt }) => 'hello' in attempt))(
  '$tries: $attempt under $policy is "$verdict"',
  async ({ attempt, policy, verdict }) => {
    if (!('hello' in attempt)) return;
    const bytes = hellos[attempt.hello];
    const guest = await serveGuest(policies[policy], echo());
    await guest.lookUp('mirror.test');
    const socket = guest.connect();
    socket.end(bytes);
    if (verdict === 'reset') expect(await endOf(socket)).toBe('ECONNRESET');
    else expect((await once(socket, 'data'))[0]).toEqual(bytes);
    socket.destroy();
    await guest.close();
  },
);

it('the table of docs/network.md says the same', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/network.md'), 'utf8');
  const [, table = ''] = /\| the guest tries \|.*\n\|.*\n((?:\|.*\n)+)/.exec(text) ?? [];
  const rows = table
    .trim()
    .split('\n')
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(rows).toEqual(policyTable.map((row) => [row.tries, row.allow, row.public]));
});

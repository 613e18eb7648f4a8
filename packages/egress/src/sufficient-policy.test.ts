import { type EgressPolicy, egressPolicyText, type JobReceipt, parseEgressPolicy } from '@fumehood/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideConnection, decideName, decideServerName } from './decide.ts';
import { sufficientPolicy } from './sufficient-policy.ts';

type Asked = Parameters<typeof sufficientPolicy>[0][number];
const rulesOf = (policy: EgressPolicy) => ({ policy, privateHosts: [], own: new Set<string>() });
const lookup = (name: string, verdict: JobReceipt['verdict'] = 'allowed'): Asked => ({
  ...{ kind: 'lookup', name, address: null, port: null, serverName: null, verdict, reason: null },
});
const connection = (name: string | null, port: number, facts: Partial<Asked> = {}): Asked => ({
  ...{
    kind: 'connection',
    name,
    address: '1.1.1.1',
    port,
    serverName: null,
    verdict: 'allowed',
    reason: null,
  },
  ...facts,
});

/** Returns whether a policy refuses what a receipt says was allowed. */
function refuses(policy: EgressPolicy, { kind, name, address, port, serverName, reason }: Asked): boolean {
  const rules = rulesOf(policy);
  if (kind === 'lookup') return !decideName(rules, name as string).allowed;
  const asked = { address: address as string, port: port as number, names: name === null ? [] : [name] };
  if (!decideConnection(rules, asked).allowed) return true;
  if (policy.mode !== 'allow') return false;
  return reason === 'hello' || (serverName !== null && !decideServerName(rules, asked, serverName).allowed);
}

/** Returns the policies with one rule less: one name and port, or what has names in place of the whole internet. */
function withOneLess({ policy, named }: ReturnType<typeof sufficientPolicy>): EgressPolicy[] {
  if (policy.mode === 'public') return [named ?? { mode: 'none' }];
  if (policy.mode !== 'allow') return [];
  const rules = policy.hosts.flatMap(({ name, ports }) => (ports ?? []).map((port) => `${name}:${port}`));
  return rules.map((one) =>
    rules.length === 1
      ? { mode: 'none' }
      : parseEgressPolicy(`allow:${rules.filter((other) => other !== one).join()}`),
  );
}

const names = fc.constantFrom('a.test', 'b.test', 'b.a.test');
const verdicts = fc.constantFrom<JobReceipt['verdict'][]>(
  'allowed',
  'allowed',
  'allowed',
  'refused',
  'failed',
);
const receipts = fc.array(
  fc.oneof(
    fc.tuple(names, verdicts).map(([name, verdict]) => lookup(name, verdict)),
    {
      weight: 2,
      arbitrary: fc
        .record({ name: names, port: fc.constantFrom(80, 443), tls: fc.boolean(), verdict: verdicts })
        .map(({ name, port, tls, verdict }) =>
          connection(name, port, { verdict, serverName: tls ? name : null }),
        ),
    },
    fc.constant<Asked>({ ...connection(null, 1), kind: 'omitted', verdict: 'failed' }),
  ),
);
/** Connections for which a policy `allow` has no rule. */
const nameless = fc.constantFrom(
  connection(null, 443),
  connection(null, 80, { reason: 'policy_address' }),
  connection('a.test', 443, { serverName: 'other.test', reason: 'server_name' }),
  connection('a.test', 443, { serverName: 'other.test' }),
  connection('a.test', 443, { reason: 'hello' }),
);

describe('the smallest policy that suffices', () => {
  it('refuses nothing of what was allowed, and with one rule less it refuses something', () => {
    fc.assert(
      fc.property(receipts, fc.array(nameless, { maxLength: 1 }), (some, others) => {
        const all = [...some, ...others];
        const allowed = all.filter(({ verdict }) => verdict === 'allowed');
        const found = sufficientPolicy(all);
        expect(allowed.filter((receipt) => refuses(found.policy, receipt))).toEqual([]);
        for (const less of withOneLess(found))
          expect(
            allowed.some((receipt) => refuses(less, receipt)),
            JSON.stringify(less),
          ).toBe(true);
        expect(parseEgressPolicy(egressPolicyText(found.policy))).toEqual(found.policy);
      }),
      { numRuns: 500 },
    );
  });

  it('has the names and the ports, each once and in order', () => {
    const { policy, onlyLookedUp } = sufficientPolicy([
      ...[lookup('b.test'), lookup('a.test'), lookup('c.test'), lookup('gone.test', 'failed')],
      ...[connection('b.test', 443), connection('b.test', 80), connection('b.test', 443)],
      connection('a.test', 22, { verdict: 'failed' }),
    ]);
    expect(egressPolicyText(policy)).toBe('allow:a.test:443,b.test:80,b.test:443,c.test:443');
    expect(onlyLookedUp).toEqual(['b.test', 'a.test', 'c.test'].slice(1));
  });

  it('is `none` for a guest that was allowed nothing, and `public` for one that connected to an address without a name', () => {
    expect(sufficientPolicy([lookup('a.test', 'refused')]).policy).toEqual({ mode: 'none' });
    const found = sufficientPolicy([lookup('a.test'), connection('a.test', 80), connection(null, 443)]);
    expect(found.policy).toEqual({ mode: 'public' });
    expect(found.named && egressPolicyText(found.named)).toBe('allow:a.test:80');
    expect(found.nameless).toHaveLength(1);
  });

  it('is `public` for more names, or more ports of a name, than a policy may have', () => {
    const many = Array.from({ length: 257 }, (_, at) => lookup(`n${at}.test`));
    expect(sufficientPolicy(many)).toMatchObject({ policy: { mode: 'public' }, named: null });
    expect(sufficientPolicy(many.slice(1)).policy.mode).toBe('allow');
    const ports = Array.from({ length: 65 }, (_, at) => connection('a.test', at + 1));
    expect(sufficientPolicy(ports)).toMatchObject({ policy: { mode: 'public' }, named: null });
  });
});

/** What a guest does: it looks up a name, or connects to an address, perhaps with TLS for a name. */
type Action =
  | { readonly name: string }
  | { readonly address: string; readonly port: number; readonly tls: string | null };
const addressesOf: Readonly<Record<string, readonly string[]>> = {
  'a.test': ['1.1.1.1', '1.0.0.1'],
  'b.test': ['1.1.1.1'],
  'b.a.test': ['9.9.9.9'],
};

/** Returns the receipts of a guest under a policy, as the gateway gives them: names share addresses. */
function live(policy: EgressPolicy, actions: readonly Action[]): Asked[] {
  const rules = rulesOf(policy);
  const pinned = new Map<string, string[]>();
  return actions.map((action) => {
    if ('name' in action) {
      const { name } = action;
      if (!decideName(rules, name).allowed) return lookup(name, 'refused');
      for (const address of addressesOf[name] ?? [])
        pinned.set(address, [...new Set([...(pinned.get(address) ?? []), name])]);
      return lookup(name);
    }
    const { address, port, tls } = action;
    const asked = { address, port, names: pinned.get(address) ?? [] };
    const { allowed, name } = decideConnection(rules, asked);
    const ofName = tls !== null && asked.names.includes(tls) ? tls : name;
    const hello = tls === null ? null : decideServerName(rules, asked, tls);
    const bad = hello && !hello.allowed ? hello.reason : null;
    const isRefused = !allowed || (policy.mode === 'allow' && bad !== null);
    const reason = policy.mode !== 'learn' ? null : (bad ?? (name === null ? 'policy_address' : null));
    const verdict = isRefused ? 'refused' : 'allowed';
    return connection(ofName, port, { address, serverName: tls, verdict, reason });
  });
}

it('what a guest did while it was observed is allowed under the policy that was learned from it, also when names share an address', () => {
  const action: fc.Arbitrary<Action> = fc.oneof(
    fc.record({ name: names }),
    fc.record({
      address: fc.constantFrom('1.1.1.1', '1.0.0.1', '9.9.9.9', '10.0.0.1'),
      port: fc.constantFrom(80, 443),
      tls: fc.option(names),
    }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
      const learned = live({ mode: 'learn' }, actions);
      const { policy } = sufficientPolicy(learned);
      const again = live(policy, actions);
      expect(again.map(({ verdict }) => verdict)).toEqual(learned.map(({ verdict }) => verdict));
    }),
    { numRuns: 500 },
  );
});

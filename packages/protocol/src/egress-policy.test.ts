import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { ZodError } from 'zod';
import {
  askedEgressSchema,
  askedHostsMax,
  type EgressPolicy,
  egressPolicySchema,
  egressPolicyText,
  hostRuleOf,
  isOpen,
  narrowEgress,
  parseEgressPolicy,
} from './egress-policy.ts';

const names = ['a.test', 'b.a.test', 'c.b.a.test', 'd.test'];
const rules = [...names, '*.test', '*.a.test', '*.b.a.test'];
const policies: fc.Arbitrary<EgressPolicy> = fc.oneof(
  fc.constant<EgressPolicy>({ mode: 'none' }),
  fc.constant<EgressPolicy>({ mode: 'public' }),
  fc.constant<EgressPolicy>({ mode: 'learn' }),
  fc.record({
    mode: fc.constant('allow' as const),
    hosts: fc.array(
      fc.record({
        name: fc.constantFrom(...rules),
        ports: fc.oneof(
          fc.constant(null),
          fc.uniqueArray(fc.constantFrom(80, 443, 8080), { minLength: 1, maxLength: 2 }),
        ),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  }),
);
const allows = (policy: EgressPolicy, name: string, port: number) =>
  isOpen(policy) || (policy.mode === 'allow' && hostRuleOf(policy.hosts, name, port) !== undefined);

it('a narrowed policy allows what both policies allow, and nothing else', () => {
  fc.assert(
    fc.property(policies, policies, (ceiling, wanted) => {
      const narrowed = narrowEgress(ceiling, wanted);
      for (const name of [...names, 'test', 'x.y.test'])
        for (const port of [80, 443, 8080])
          expect(allows(narrowed, name, port)).toBe(
            allows(ceiling, name, port) && allows(wanted, name, port),
          );
    }),
  );
});

it.each([
  ['public', 'learn', 'learn'],
  ['learn', 'public', 'public'],
  ['allow:a.test:443', 'learn', 'allow:a.test:443'],
  ['none', 'learn', 'none'],
])('under the ceiling %s, %s is %s', (ceiling, wanted, text) =>
  expect(egressPolicyText(narrowEgress(parseEgressPolicy(ceiling), parseEgressPolicy(wanted)))).toBe(text),
);

it('narrowing is the same in every order, and a second time it changes nothing', () => {
  const same = (one: EgressPolicy, other: EgressPolicy) => {
    for (const name of [...names, 'test', 'x.y.test'])
      for (const port of [80, 443, 8080]) expect(allows(one, name, port)).toBe(allows(other, name, port));
  };
  fc.assert(
    fc.property(policies, policies, policies, (queue, tenant, wanted) => {
      const narrowed = narrowEgress(queue, narrowEgress(tenant, wanted));
      same(narrowed, narrowEgress(tenant, narrowEgress(queue, wanted)));
      same(narrowed, narrowEgress(narrowEgress(wanted, tenant), queue));
      same(narrowEgress(queue, narrowed), narrowed);
      const least = narrowEgress(narrowed, narrowed);
      expect(narrowEgress(least, least)).toEqual(least);
      same(least, narrowed);
      expect(egressPolicySchema.safeParse(narrowed).success).toBe(true);
    }),
  );
});

it('what the longest lists leave under all ceilings is a policy that an executor takes', () => {
  // The rules of each list are wider than those of another one by turns.
  const list = (at: number): EgressPolicy => ({
    mode: 'allow',
    hosts: Array.from({ length: askedHostsMax }, (_, n) => ({
      name: n % 6 === at ? `*.n${n}.test` : `x${at}.n${n}.test`,
      ports: null,
    })),
  });
  const everything: EgressPolicy = { mode: 'allow', hosts: [{ name: '*.test', ports: null }] };
  const left = narrowEgress(list(0), list(1));
  expect(egressPolicySchema.parse(left)).toEqual(left);
  expect(left.mode === 'allow' && left.hosts.length).toBeLessThanOrEqual(2 * askedHostsMax);
  expect(narrowEgress(everything, list(2))).toEqual(narrowEgress(list(2), list(2)));
  const twice = {
    ...list(3),
    hosts: [
      { name: '*.test', ports: null },
      { name: 'a.test', ports: [443] },
    ],
  };
  expect(narrowEgress(twice as EgressPolicy, twice as EgressPolicy)).toEqual(everything);
  const tooLong = {
    mode: 'allow',
    hosts: [...Array(askedHostsMax + 1).keys()].map((n) => ({ name: `n${n}.test`, ports: null })),
  };
  expect(askedEgressSchema.safeParse(tooLong).success).toBe(false);
  expect(egressPolicySchema.safeParse(tooLong).success).toBe(true);
});

it('the text of a policy stands for a policy that allows the same', () => {
  fc.assert(
    fc.property(policies, (policy) => {
      const again = parseEgressPolicy(egressPolicyText(policy));
      for (const name of names)
        for (const port of [80, 443, 8080])
          expect(allows(again, name, port)).toBe(allows(policy, name, port));
    }),
  );
});

it.each([
  ['none', { mode: 'none' }],
  ['public', { mode: 'public' }],
  ['allow:Registry.Test', { mode: 'allow', hosts: [{ name: 'registry.test', ports: null }] }],
  [
    'allow:a.test:443,*.b.test,a.test:80',
    {
      mode: 'allow',
      hosts: [
        { name: 'a.test', ports: [443, 80] },
        { name: '*.b.test', ports: null },
      ],
    },
  ],
])('%s is a policy', (text, policy) => expect(parseEgressPolicy(text)).toEqual(policy));

it.each([
  'all',
  'allow:',
  'allow:*',
  'allow:*.*.test',
  'allow:10.0.0.1',
  'allow:[::1]:443',
  'allow:a..test',
  'allow:a.test:0',
  'allow:a.test:65536',
  'allow:a.test/24',
  `allow:${'a'.repeat(64)}.test`,
])('%s is no policy', (text) => expect(() => parseEgressPolicy(text)).toThrow());

/** Texts of a policy, and what is nearly one. */
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...Array.from('allow:*.,-_19aZé\n[]')) }).map((text) => `allow:${text}`),
  fc
    .array(fc.tuple(fc.constantFrom(...rules, 'A.Test', '', '*'), fc.integer({ min: -1, max: 70_000 })))
    .map((parts) => `allow:${parts.map(([name, port]) => (port < 0 ? name : `${name}:${port}`)).join()}`),
);

it('whatever a text is, it is a policy whose text stands for itself, or it is refused as none', () => {
  fc.assert(
    fc.property(texts, (text) => {
      let policy: EgressPolicy;
      try {
        policy = parseEgressPolicy(text);
      } catch (error) {
        expect(error).toBeInstanceOf(ZodError);
        return;
      }
      expect(egressPolicySchema.parse(policy)).toEqual(policy);
      const plain = egressPolicyText(policy);
      expect(parseEgressPolicy(plain)).toEqual(policy);
      expect(egressPolicyText(parseEgressPolicy(plain))).toBe(plain);
    }),
    { numRuns: 2_000 },
  );
});

it.each<[string, (size: number) => string]>([
  ['one port again and again', (size) => `allow:${'a:1,'.repeat(size / 4)}`],
  ['many hosts', (size) => `allow:${Array.from({ length: size / 8 }, (_, at) => `n${at}.t`).join()}`],
  ['a long name', (size) => `allow:${'a'.repeat(size)}`],
  ['many labels', (size) => `allow:${'a.'.repeat(size / 2)}!`],
  ['long labels', (size) => `allow:${`${'a'.repeat(62)}.`.repeat(size / 63)}!`],
  ['a long port', (size) => `allow:a:${'1'.repeat(size)}x`],
  ['many colons', (size) => `allow:${':1'.repeat(size / 2)}x`],
  ['no policy', (size) => 'x'.repeat(size)],
])('a text of megabytes is refused in the time that its length takes: %s', (_what, textOf) => {
  const text = textOf(4_000_000);
  const started = performance.now();
  expect(() => parseEgressPolicy(text)).toThrow(ZodError);
  expect(performance.now() - started).toBeLessThan(3_000);
});

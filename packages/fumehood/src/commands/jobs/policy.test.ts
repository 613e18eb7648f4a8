import { sufficientPolicy } from '@fumehood/egress';
import type { JobReceipt } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { caveats } from './policy.ts';

const receipt = (facts: Partial<JobReceipt>): JobReceipt => ({
  ...{ seq: 0, step: null, at: 0, kind: 'connection', name: null, address: '1.1.1.1', port: 443 },
  ...{ serverName: null, sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule: 'learn', reason: null },
  ...facts,
});
const lookup = (name: string) => receipt({ kind: 'lookup', name, address: null, port: null });
const of = (receipts: JobReceipt[], facts: Partial<Parameters<typeof caveats>[0]> = {}) =>
  caveats({ policy: { mode: 'learn' }, receipts, dropped: 0, ...facts }, sufficientPolicy(receipts));

it('a policy that says it all has no caveat', async () => {
  expect(await of([lookup('a.test'), receipt({ name: 'a.test' })])).toEqual([]);
});

it('what only `public` allows is named, with the policy for everything else', async () => {
  const addresses = Array.from({ length: 7 }, (_, at) =>
    receipt({ address: `1.1.1.${at}`, reason: 'policy_address' }),
  );
  expect(await of([receipt({ name: 'a.test' }), ...addresses, ...addresses])).toEqual([
    'only `public` allows 1.1.1.0:443, 1.1.1.1:443, 1.1.1.2:443, 1.1.1.3:443, 1.1.1.4:443, and 2 more; everything else: allow:a.test:443',
  ]);
  const tls = { name: 'a.test', serverName: 'b.test', reason: 'server_name' };
  expect(await of([receipt(tls), receipt({ name: 'a.test', reason: 'hello' })])).toEqual([
    'only `public` allows 1.1.1.1:443 (TLS for b.test), 1.1.1.1:443 (TLS whose name cannot be relied on)',
  ]);
});

it('names that were only looked up, receipts that were not kept and an unlearned policy are said', async () => {
  expect(await of([lookup('a.test')])).toEqual([
    'looked up, and never connected to; a rule needs a port, here 443: a.test',
  ]);
  const incomplete = ['not every receipt was kept: the policy may lack rules'];
  expect(await of([], { dropped: 1 })).toEqual(incomplete);
  expect(await of([receipt({ kind: 'omitted', verdict: 'failed', address: null, port: null })])).toEqual(
    incomplete,
  );
  expect(await of([], { policy: { mode: 'public' } })).toEqual([
    'under `public` nobody looks at the names of TLS; `--network learn` does',
  ]);
  const many = Array.from({ length: 257 }, (_, at) => receipt({ name: `n${at}.test` }));
  expect(await of(many)).toEqual(['only `public` allows so many names or ports']);
});

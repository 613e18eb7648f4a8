import type { Receipt } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { Receipts } from './receipts.ts';

const receipt = (facts: Partial<Receipt> = {}): Receipt => ({
  ...{ at: 0, kind: 'connection', name: null, address: '1.1.1.1', port: 443, serverName: null },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule: 'public', reason: null, ...facts },
});

it('the first and the last receipts are kept, and those between them are counted', () => {
  const receipts = new Receipts();
  for (let at = 0; at < 5_000; at++) receipts.add(receipt({ at }));
  const lines = receipts.lines().map((line) => JSON.parse(line));
  expect(lines).toHaveLength(1_001);
  expect(lines[0].at).toBe(0);
  expect(lines[500]).toEqual({ dropped: 4_000 });
  expect(lines.at(-1).at).toBe(4_999);
});

it('the log of the step explains each refusal once, and not without end', () => {
  const receipts = new Receipts();
  const told: string[] = [];
  receipts.tell = (line) => void told.push(line);
  receipts.add(receipt());
  for (let at = 0; at < 3; at++)
    receipts.add(
      receipt({ verdict: 'refused', name: 'a.test', rule: 'the policy does not allow port 443 of a.test' }),
    );
  expect(told).toEqual([
    'fumehood: 1.1.1.1:443 (a.test) was refused: the policy does not allow port 443 of a.test',
  ]);
  for (let port = 1; port < 1_000; port++) receipts.add(receipt({ verdict: 'refused', port }));
  expect(told).toHaveLength(50);
});

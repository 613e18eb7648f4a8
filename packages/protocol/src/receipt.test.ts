import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { jobReceiptSchema, receiptSchema } from './receipt.ts';

const receipt = {
  ...{ at: 0, kind: 'lookup', name: 'a.test', address: null, port: null, serverName: null },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'refused', rule: 'no', reason: 'policy_name' },
};

it('the published schema of a receipt is the one that is checked (after a change: vitest --update)', async () => {
  const schema = z.toJSONSchema(jobReceiptSchema, { io: 'input' });
  const file = join(import.meta.dirname, '../../../docs/receipt.schema.json');
  await expect(`${JSON.stringify({ ...schema, title: 'Receipt' }, null, 1)}\n`).toMatchFileSnapshot(file);
});

it('a receipt that is kept may have a kind and a reason of a later version, and an executor gives none but its own', () => {
  const later = { ...receipt, kind: 'later', reason: 'later_too' };
  expect(jobReceiptSchema.safeParse({ ...later, seq: 0, step: null, more: 1 }).success).toBe(true);
  expect(receiptSchema.safeParse(later).success).toBe(false);
  expect(receiptSchema.safeParse(receipt).success).toBe(true);
});

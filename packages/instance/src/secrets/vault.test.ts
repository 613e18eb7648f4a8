import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newKeyText, readSecretsKey } from './key.ts';
import { openVault } from './vault.ts';

const key = randomBytes(32);
const vault = openVault(key);
const row = ['registry', 'registry.test:5000', 'worker', null];
const what = 'the password';

describe('a sealed text', () => {
  it('is opened by the same key for the same row', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(vault.open(vault.seal(text, row), row, what)).toBe(text);
      }),
    );
  });

  it('does not hold the text, and is another one each time', () => {
    const sealed = [1, 2].map(() => vault.seal('wrench-and-bolt', row).toString('latin1'));
    for (const one of sealed) expect(one).not.toContain('wrench');
    expect(sealed[0]).not.toBe(sealed[1]);
  });

  it('of another key is refused with both key ids and what to do', () => {
    const sealed = openVault(randomBytes(32)).seal('text', row);
    expect(() => vault.open(sealed, row, what)).toThrow(
      expect.objectContaining({
        code: 'secret_of_other_key',
        message: expect.stringMatching(
          /^the password was encrypted with the key [0-9a-f]{16}, and .* [0-9a-f]{16}$/,
        ),
        remedy: expect.stringContaining('run/secrets-key'),
      }),
    );
  });

  it('of another key that claims the id of this one is refused', () => {
    const sealed = openVault(randomBytes(32)).seal('text', row);
    vault.seal('', row).copy(sealed, 0, 0, 9);
    expect(() => vault.open(sealed, row, what)).toThrow(damaged);
  });

  it.each([
    ['another host', ['registry', 'other.test:5000', 'worker', null]],
    ['another user', ['registry', 'registry.test:5000', 'root', null]],
    ['more queues', ['registry', 'registry.test:5000', 'worker', ['runs']]],
    ['another table', ['secret', 'registry.test:5000', 'worker', null]],
    ['values that look the same when they are joined', ['registry', 'registry.test:5000worker', null]],
  ])('that was moved to a row of %s is refused', (_which, other) => {
    expect(() => vault.open(vault.seal('text', row), other, what)).toThrow(damaged);
  });

  it('with another byte is refused', () => {
    const one = fc.integer({ min: 1, max: 255 });
    fc.assert(
      fc.property(fc.nat(), one, (at, change) => {
        const sealed = vault.seal('text', row);
        const index = at % sealed.length;
        sealed[index] = (sealed[index] as number) ^ change;
        expect(() => vault.open(sealed, row, what)).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^secret_(damaged|of_other_key)$/) }),
        );
      }),
    );
  });

  it('that was cut off anywhere is refused', () => {
    const sealed = vault.seal('text', row);
    for (const bytes of sealed.keys())
      expect(() => vault.open(sealed.subarray(0, bytes), row, what)).toThrow(damaged);
  });
});

const damaged = expect.objectContaining({
  code: 'secret_damaged',
  remedy: expect.stringContaining('Set the value again'),
});

describe('a key file', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'fumehood-key-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (text: string) => {
    const path = join(directory, 'key');
    writeFileSync(path, text);
    return path;
  };

  it('has 32 bytes', async () => {
    expect(await readSecretsKey(file(newKeyText()))).toHaveLength(32);
  });

  it.each(['', 'ab\n', 'z'.repeat(64), `${'a'.repeat(64)}\n${'b'.repeat(64)}\n`])(
    'with %j is refused with what to do',
    async (text) => {
      await expect(readSecretsKey(file(text))).rejects.toMatchObject({
        code: 'secrets_key_unusable',
        remedy: expect.stringContaining('from a backup'),
      });
    },
  );

  it('that is missing is refused', async () => {
    await expect(readSecretsKey('/nonexistent/key')).rejects.toMatchObject({ code: 'secrets_key_unusable' });
  });
});

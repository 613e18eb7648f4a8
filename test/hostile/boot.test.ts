import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestRecipe } from '@glovebox/microvm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nothingLeft, TestAgent } from '../../packages/executor/src/testing/agent.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'boot-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A guest image whose init does this before anything else. */
function initThat(does: string) {
  const init = mkdtempSync(join(directory, 'init-'));
  cpSync(guestRecipe.init, init, { recursive: true });
  const main = readFileSync(join(init, 'main.c'), 'utf8');
  const changed = main.replace(/int main\(.*\) \{/, `$&\n  ${does}`);
  expect(changed).not.toBe(main);
  writeFileSync(join(init, 'main.c'), changed);
  return { ...guestRecipe, init };
}

test.each([
  ['never comes up', 'for (;;) pause();', 'guest_not_ready'],
  ['ends at once', 'return 1;', 'vmm_died'],
])('a guest that %s is tried once more, then told, and gone', async (_, does, reason) => {
  const agent = await TestAgent.start(initThat(does));
  try {
    const image = await agent.putImage('plain');
    const mark = await agent.run({ dockerSteps: [{ image }] }, {}, 100_000);
    expect(mark).toMatchObject({ operation: 'markErrored', reason });
    const boot = agent.instance.entries.find(({ key }) => key === 'setup.vm');
    expect(boot?.stderr.toString().match(/did not come up/g)).toHaveLength(2);
    expect(boot?.stderr.toString()).toContain('trying once more');
    expect(mark.errorMessage).toContain('glovebox doctor');
    expect(agent.instance.result).toMatchObject({ leftOver: nothingLeft });
  } finally {
    await agent.stop();
  }
});

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Job, NextStep } from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { everyChange, gitIn, makeBatchRepository, statusOf } from '../testing/batch-repository.ts';
import { nothingLeft, TestAgent } from '../testing/test-agent.ts';

let agent: TestAgent;
let image: string;
let source: string;
let commit: string;

beforeAll(async () => {
  agent = await TestAgent.start();
  image = await agent.putImage('plain', { user: 'worker', env: ['FROM=image'] });
  ({ directory: source, commit } = makeBatchRepository(agent.root));
  const target = join(agent.root, 'repositories', 'acme');
  execFileSync('git', ['init', '-q', '--bare', target]);
  gitIn(target, ['fetch', '-q', source, 'HEAD:refs/heads/main']);
});
afterAll(() => agent.stop());
beforeEach(() => agent.reset());

type Step = NonNullable<NextStep['next']>;

/** Runs a batch job with these scripts, or steps. */
async function run(steps: (string | Partial<Step>)[], job: Partial<Job> = {}, restore: string | null = null) {
  const all = steps.map((step) => (typeof step === 'string' ? { script: step } : step));
  for (const [at, step] of all.entries())
    agent.instance.answers.push({
      next: { step: at, script: 'true', env: [], secrets: [], files: [], ...step },
      restore: at === 0 && restore !== null ? { digest: restore } : null,
      skipped: [],
    });
  return await agent.run(
    {
      ...{ queue: 'batches', repositoryName: 'acme', repositoryDirectory: 'repository', commit },
      dockerSteps: all.map((_, at) => ({ key: `step.${at}`, image, dir: 'repository' })),
      ...job,
    },
    { batch: true },
  );
}
const statusAt = (at: number) => statusOf(source, agent.instance.diffs[at] as Buffer);
const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('a batch job', () => {
  it('runs its steps as root, one after the other, and sends what they have changed', async () => {
    const mark = await run([
      `id -u; echo "$FROM $MINE"; echo told >&2; ${everyChange.commands}`,
      {
        script: `tail -n1 modified.txt; cat /opt/names; echo more > second.txt; rm -r vendor
          printf 'wex\\n' > web/src/index.js; touch -r other/file.txt web/src/index.js`,
        files: [{ target: '/opt/names', content: Buffer.from('a file\n').toString('base64') }],
      },
    ]);
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(agent.instance.ends).toEqual([
      null,
      { step: 0, stdout: '0\nimage \n', stderr: 'told\n', diff: digestOf(agent.instance.diffs[0] as Buffer) },
      { step: 1, stdout: 'four\na file\n', stderr: '', diff: digestOf(agent.instance.diffs[1] as Buffer) },
    ]);
    expect(statusAt(0)).toEqual(everyChange.status);
    // The file that a step gives back its size and its time has changed, too.
    const second = ['A\tsecond.txt', 'D\tvendor/library', 'M\tweb/src/index.js'];
    expect(statusAt(1)).toEqual([...everyChange.status, ...second].sort());
    expect(agent.instance.output('step.docker.step.1')).toBe('four\na file\n');
    expect(agent.instance.result).toMatchObject({ exitCode: 0, leftOver: nothingLeft });
  });

  it('that changes its own `.git`, and leaves programs for git, decides nothing but its files', async () => {
    const mark = await run(
      [
        `printf '#!/bin/sh\ntouch /data/ran\ncat\n' > /data/evil; chmod 755 /data/evil
         printf '[core]\nfsmonitor = /data/evil\n[filter "evil"]\nclean = /data/evil\nrequired = true\n' >> .git/config
         mkdir -p .git/hooks; cp /data/evil .git/hooks/post-index-change
         echo '* filter=evil' > .gitattributes; echo new > new.txt; echo new.txt > .git/info/exclude`,
        'test ! -e /data/ran && rm -rf .git && ls -A && test ! -e /git && test ! -e /tools',
      ],
      { sparseCheckout: ['web/*'] },
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    for (const at of [0, 1]) expect(statusAt(at)).toEqual(['A\t.gitattributes', 'A\tnew.txt']);
    expect(agent.instance.ends.at(-1)?.stdout).toBe('.gitattributes\nnew.txt\nweb\n');
  });

  it('goes on from the diff of an earlier execution, and has the large files of its spec', async () => {
    const file = Buffer.alloc(3 * 2 ** 20, '#!/bin/sh\nexit 7 # large\n');
    const diff = Buffer.from(
      'diff --git other/file.txt other/file.txt\n--- other/file.txt\n+++ other/file.txt\n@@ -1 +1 @@\n-other\n+restored\n',
    );
    for (const blob of [file, diff]) agent.instance.blobs.set(digestOf(blob), blob);
    const mark = await run(
      [
        {
          script:
            'cat other/file.txt; wc -c < /opt/large; /opt/large || echo $?; /opt/short; echo x > /opt/large || echo kept; echo new > new.txt',
          files: [
            { target: '/opt/large', digest: digestOf(file) },
            { target: '/opt/short', content: Buffer.from('#!/bin/sh\necho short\n').toString('base64') },
          ],
        },
      ],
      {},
      digestOf(diff),
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(agent.instance.ends[1]?.stdout).toBe(`restored\n${file.length}\n7\nshort\nkept\n`);
    expect(statusAt(0)).toEqual(['A\tnew.txt', 'M\tother/file.txt']);
  });

  it('whose step fails reports neither its diff nor a result', async () => {
    const mark = await run(['echo new > new.txt; echo it broke >&2; exit 3', 'true']);
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_failed' });
    expect([agent.instance.ends, agent.instance.diffs]).toEqual([[null], []]);
    expect(agent.instance.result).toMatchObject({ exitCode: 3, leftOver: nothingLeft });
  });
});

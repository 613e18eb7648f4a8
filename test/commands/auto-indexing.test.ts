import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { runProgram, Stack } from '../stack.ts';

let stack: Stack;
let remote: GitServer;
beforeAll(async () => {
  stack = await Stack.make();
  remote = await startGitServer();
});
afterAll(async () => {
  await stack.stop();
  remote.stop();
});

/** The commands of the first example of a document, without its comments, for the remote of the test. */
function commandsOf(document: string): string[] {
  const text = readFileSync(join(import.meta.dirname, '../..', document), 'utf8');
  const [, block = ''] = /^```\n(fumehood repos add .*?)^```$/ms.exec(text) ?? [];
  return block
    .split('\n')
    .map((line) => line.replace(/ +#.*/, ''))
    .filter((line) => line !== '')
    .map((line) =>
      line
        .replace('https://git.example.com/acme/greeter.git', remote.url)
        .replace('git.example.com/acme/greeter', '127.0.0.1'),
    );
}

/** Says as a code host does that somebody pushed. */
async function deliver(secret: string): Promise<void> {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as { url: string };
  const body = JSON.stringify({ ref: 'refs/heads/main', at: Date.now() });
  const signature = createHmac('sha256', secret).update(body).digest('hex');
  const answer = await fetch(`${url}/hooks/127.0.0.1`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-github-event': 'push',
      'x-hub-signature-256': `sha256=${signature}`,
    },
    body,
  });
  expect(answer.status, await answer.text()).toBe(202);
}

/** The reference is where the document's example asks for it. */
const main = (version: number) =>
  `import { greet } from './greet.js';\n${'\n'.repeat(10)}      greet(${version});\n`;

it('the commands of docs/auto-indexing.md lead from a repository to a definition, and a push leads to the next one', async () => {
  remote.commit({
    'tsconfig.json': '{}',
    'src/greet.ts': 'export function greet(version: number) {\n  return version;\n}\n',
    'src/main.ts': main(1),
  });
  const fumehood = async (...args: string[]) => {
    const outcome = await stack.fumehood(args);
    expect(outcome.code, outcome.stderr + stack.logs()).toBe(0);
    return outcome.stdout;
  };
  await fumehood('up');
  const accept = ['--accept', 'vm-emulated'];
  const outputs: string[] = [];
  for (const line of commandsOf('docs/auto-indexing.md')) {
    const [, ...args] = line.split(' ');
    outputs.push(await fumehood(...args, ...(args[0] === 'index' ? accept : [])));
  }
  expect(outputs).toHaveLength(5);
  expect(outputs[2]).toMatch(
    /1 job, inferred\n.*\nnew +\. .*tsconfig\.json makes its directory a project\n$/,
  );
  expect(outputs[4]).toMatch(/^src\/greet\.ts:1:17  .*greet\(\)\.\n$/);

  await fumehood('index-policies', 'set', 'main', ...accept);
  const { secret } = JSON.parse(await fumehood('repos', 'webhook', 'set', '127.0.0.1', '--json')) as {
    secret: string;
  };
  remote.onPush(() => deliver(secret));
  const client = stack.client();
  const copy = mkdtempSync(join(tmpdir(), 'fumehood-copy-'));
  const git = (...args: string[]) =>
    runProgram(['git', '-C', copy, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
  expect(await git('clone', '-q', remote.url, '.')).toMatchObject({ code: 0 });
  writeFileSync(
    join(copy, 'src/greet.ts'),
    'const unused = 1;\nexport const greet = (version: number) => version;\n',
  );
  writeFileSync(join(copy, 'src/main.ts'), main(2));
  await git('commit', '-qam', 'second');
  // From here on nobody is in between.
  const begun = Date.now();
  expect(await git('push', '-q', 'origin', 'HEAD:main')).toMatchObject({ code: 0 });
  const pushed = Date.now();
  const commit = (await git('rev-parse', 'HEAD')).stdout.trim();
  const place = { repository: '127.0.0.1', path: 'src/main.ts', line: 11, character: 6 };
  const answer = async () => {
    const { precision, commit: of, locations } = await client.code.definition(place);
    return { precision, of, lines: locations.map(({ line }) => line) };
  };
  await expect
    .poll(answer, { timeout: 120_000, interval: 100 })
    .toEqual({ precision: 'exact', of: commit, lines: [1] });
  const answered = Date.now();
  rmSync(copy, { recursive: true });
  const planned = (await client.code.status('127.0.0.1')).commits.find((one) => one.commit === commit);
  const [attempt] = await client.attempts(planned?.jobs[0]?.id ?? 0);
  const at = (time: string | null | undefined) => Date.parse(time ?? '') - begun;
  console.log(
    `push to answer, milliseconds: ${JSON.stringify({
      pushed: pushed - begun,
      planned: at(planned?.plannedAt),
      leased: at(attempt?.startedAt),
      answered: answered - begun,
    })}`,
  );
  expect(await fumehood('code', 'def', '127.0.0.1', 'src/main.ts:12:7')).toMatch(/^src\/greet\.ts:2:14  /);
  expect(await fumehood('index', 'status', '127.0.0.1')).toMatch(/\(tip\).*completed, 2 documents/);
}, 240_000);

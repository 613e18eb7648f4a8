import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { Stack } from '../stack.ts';

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
    /1 jobs, inferred\n.*\nnew +\. .*tsconfig\.json makes its directory a project\n$/,
  );
  expect(outputs[4]).toMatch(/^src\/greet\.ts:1:17  .*greet\(\)\.\n$/);

  // From here on nobody is in between.
  await fumehood('index-policies', 'set', 'main', ...accept);
  const commit = remote.commit({
    'src/greet.ts': 'const unused = 1;\nexport const greet = (version: number) => version;\n',
    'src/main.ts': main(2),
  });
  await fumehood('repos', 'sync', '127.0.0.1');
  const tip = async () =>
    (await stack.client().code.status('127.0.0.1')).commits.find((one) => one.commit === commit)?.jobs[0]
      ?.state;
  await expect.poll(tip, { timeout: 120_000, interval: 300 }).toBe('completed');
  expect(await fumehood('code', 'def', '127.0.0.1', 'src/main.ts:12:7')).toMatch(/^src\/greet\.ts:2:14  /);
  expect(await fumehood('index', 'status', '127.0.0.1')).toMatch(/\(tip\).*completed, 2 documents/);
}, 240_000);

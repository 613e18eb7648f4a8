import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { codeLocationsSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cached } from '../../packages/executor/src/testing/test-guest.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { makeRepository } from '../network/packages.ts';

const version = '0.2.9';
const repository = 'acme/greeter';

let server: TestServer;
let instance: TestInstance;
let commit: string;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  const program = join(await cached(`scip-go-${version}`, buildIndexer), 'scip-go');
  const project = join(instance.directory, 'project');
  commit = makeRepository(project, {
    'go.mod': 'module example.test/acme\n\ngo 1.21\n',
    'greet/greet.go': 'package greet\n\nfunc Greet(name string) string {\n\treturn "hello " + name\n}\n',
    'main.go':
      'package main\n\nimport "example.test/acme/greet"\n\nfunc main() {\n\tprintln(greet.Greet("a"))\n\tprintln(greet.Greet("b"))\n}\n',
  });
  execFileSync(program, ['index'], { cwd: project, stdio: 'pipe' });
  await upload(readFileSync(join(project, 'index.scip')));
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

/** Builds the indexer of its sources, with the Go of this machine. */
async function buildIndexer(work: string): Promise<string> {
  const env = { ...process.env, GOBIN: join(work, 'bin'), GOFLAGS: '-buildvcs=false' };
  execFileSync('go', ['install', `github.com/scip-code/scip-go/cmd/scip-go@v${version}`], {
    env,
    stdio: 'pipe',
  });
  return join(work, 'bin');
}

/** Uploads the index as an executor does. */
async function upload(index: Buffer): Promise<void> {
  const indexer = { name: 'scip-go', image: await instance.image(), argv: ['index'] };
  const job = { queue: 'codeintel', repository, commit, indexer, accept: ['vm-emulated'] };
  expect((await instance.api('POST', '/api/jobs', job)).status).toBe(201);
  const leased = await instance.lease({ queues: ['codeintel'] });
  const query = new URLSearchParams({ repository, commit, indexerName: 'scip-go' });
  const answer = await fetch(`${instance.url}/.executors/scip/upload?${query.toString()}`, {
    method: 'POST',
    headers: {
      authorization: `token-executor ${leased?.token}`,
      'content-type': 'application/x-protobuf+scip',
    },
    body: gzipSync(index),
  });
  expect(answer.status, await answer.text()).toBe(202);
}

async function ask(question: string, line: number, character: number): Promise<string[]> {
  const place = { repository, revision: commit, path: 'main.go', line, character };
  const query = new URLSearchParams(Object.entries(place).map(([name, value]) => [name, String(value)]));
  const answer = await instance.api('GET', `/api/code/${question}?${query.toString()}`);
  const { locations } = codeLocationsSchema.parse(await answer.json());
  return locations.map(
    (one) => `${one.path} ${[one.line, one.character, one.endLine, one.endCharacter].join()}`,
  );
}

it('an index of the real scip-go, which writes typed ranges alone, answers', async () => {
  expect(await ask('definition', 5, 16)).toEqual(['greet/greet.go 2,5,2,10']);
  expect(await ask('references', 5, 16)).toEqual(['main.go 5,15,5,20', 'main.go 6,15,6,20']);
});

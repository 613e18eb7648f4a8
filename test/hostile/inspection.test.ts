import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Job } from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { testJob } from '../../packages/executor/src/testing/test-job.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { FakeRegistry } from '../../packages/oci/src/testing/registry.ts';

let agent: TestAgent;
let registry: FakeRegistry;
let image: string;
beforeAll(async () => {
  registry = await FakeRegistry.start();
  const registries = [{ location: registry.place, insecure: true, mirrors: [] }];
  agent = await TestAgent.start(undefined, { instance: null, registries });
  image = await agent.putImage('plain');
});
afterAll(async () => {
  await agent.stop();
  await registry.stop();
});
beforeEach(() => agent.reset());

/** Runs a job that leaves something in its VM, and returns the result of the search of the VM. */
async function runAndInspect(
  script: string,
  env: (token: string) => string[] = () => [],
  more: Partial<Job> = {},
) {
  const job = testJob({}, { inspect: true });
  const { token } = job;
  const mark = await agent.run(
    { token, dockerSteps: [{ image, argv: ['sh', '-c', script], env: env(token) }], ...more },
    { inspect: true },
  );
  expect(mark).toEqual({ operation: 'markComplete' });
  return (agent.instance.result as { inspection: { found: number; controlFound: boolean } }).inspection;
}

describe('the search of a VM for credentials', () => {
  test('finds no credential after an honest step, but the planted marker', async () => {
    expect(await runAndInspect('true')).toMatchObject({ credentials: 2, found: 0, controlFound: true });
  });

  test("finds the job's token in memory when a step got it", async () => {
    const inspection = await runAndInspect('true', (token) => [`TOKEN=${token}`]);
    expect(inspection.found).toBeGreaterThan(0);
  });

  describe('for the password of the registry that the image came from', () => {
    const password = 'of-the-registry-of-this-test';
    const auth = Buffer.from(`worker:${password}`).toString('base64');
    const job = () => ({ dockerAuthConfig: { auths: { [registry.place]: { auth } } } });
    const step = (env: string[]) => ({
      dockerSteps: [{ image: `${registry.place}/tool:1`, argv: ['sh', '-c', 'true'], env }],
    });
    beforeAll(async () => {
      registry.basic = auth;
      await busyboxImage(join(agent.root, 'images'), 'tool');
      registry.put('tool', '1', layoutFiles([readFileSync(join(agent.root, 'images', 'tool.layer'))]));
    });

    test('finds it nowhere, and no log entry has it', async () => {
      const inspection = await runAndInspect('', () => [], { ...job(), ...step([]) });
      expect(inspection).toMatchObject({ credentials: 4, found: 0, controlFound: true });
      expect(registry.requests.join()).toContain('/blobs/');
      const logged = agent.instance.entries
        .map(({ stdout, stderr }) => `${stdout.toString()}${stderr.toString()}`)
        .join();
      expect(logged).toContain('tool:1 is sha256:');
      for (const secret of [password, auth]) expect(logged).not.toContain(secret);
    });

    test('finds it when a step got it', async () => {
      const inspection = await runAndInspect('', () => [], { ...job(), ...step([`P=${password}`]) });
      expect(inspection.found).toBeGreaterThan(0);
    });
  });

  test("finds the executor's credential that a step wrote to a file in two halves", async () => {
    const { credential } = agent.instance;
    const halves = [credential.slice(0, 20), credential.slice(20)];
    const script = 'printf %s "$A" > /kept; printf %s "$B" >> /kept; busybox sync';
    const inspection = await runAndInspect(script, () => [`A=${halves[0]}`, `B=${halves[1]}`]);
    expect(inspection.found).toBeGreaterThan(0);
  });
});

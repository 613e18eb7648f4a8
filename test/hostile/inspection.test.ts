import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { testJob } from '../../packages/executor/src/testing/test-job.ts';

let agent: TestAgent;
let image: string;
beforeAll(async () => {
  agent = await TestAgent.start();
  image = await agent.putImage('plain');
});
afterAll(() => agent.stop());
beforeEach(() => agent.reset());

/** Runs a job that leaves something in its VM, and returns the result of the search of the VM. */
async function runAndInspect(script: string, env: (token: string) => string[] = () => []) {
  const job = testJob({}, { inspect: true });
  const { token } = job;
  const mark = await agent.run(
    { token, dockerSteps: [{ image, argv: ['sh', '-c', script], env: env(token) }] },
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

  test("finds the executor's credential that a step wrote to a file in two halves", async () => {
    const { credential } = agent.instance;
    const halves = [credential.slice(0, 20), credential.slice(20)];
    const script = 'printf %s "$A" > /kept; printf %s "$B" >> /kept; busybox sync';
    const inspection = await runAndInspect(script, () => [`A=${halves[0]}`, `B=${halves[1]}`]);
    expect(inspection.found).toBeGreaterThan(0);
  });
});

import { statfs } from 'node:fs/promises';
import { factsOf } from '@fumehood/base';
import { applyRoute, examineInstance, openHttp } from '@fumehood/executor';
import type { Tier } from '@fumehood/protocol';
import type { CommandContext } from '../cli/context.ts';
import { examine } from '../doctor/doctor.ts';
import { notJoined } from '../errors.ts';
import type { State } from '../state/state.ts';
import { type ExecutorSetup, readSetup } from './setup.ts';
import { executorSettings } from './start.ts';
import { instanceRequirements, machineRequirements, type Requirement, requirement } from './requirements.ts';

/**
 * Checks everything that an executor of this machine needs, of the machine (it boots a canary) and of the instance that it leases from.
 * `accept`: the tiers that are accepted for jobs of an upstream instance.
 * Errors: `usage` and `settings_invalid` for wrong settings and variables.
 */
export async function validateExecutor(
  context: CommandContext,
  accept: readonly Tier[],
): Promise<Requirement[]> {
  const { state, root } = context;
  const setup = setupOf(context);
  const report = await examine(context);
  const ofMachine = machineRequirements(report, { root, freeMiB: await freeMiB(state), state: state.root });
  // Only a machine that runs virtual machines can be measured further.
  const ofJobs = setup?.order && report.tiers.length > 0 ? [await validateOrder(context, setup, accept)] : [];
  return [...ofMachine, ...ofJobs, ...(await validateInstance(context, setup))];
}

/** Whether this machine can run the jobs that upstream's variables order. */
async function validateOrder(
  context: CommandContext,
  setup: ExecutorSetup,
  accept: readonly Tier[],
): Promise<Requirement> {
  const shouldBe = 'room, and a tier of isolation, for the jobs that the environment orders';
  try {
    const { settings } = await executorSettings(context, setup, accept);
    const { cpus, memoryMiB, scratchMiB } = settings.resources;
    const is = `${cpus} processors, ${memoryMiB} MiB of memory and ${scratchMiB} MiB of disk, in all`;
    return requirement('jobs', true, is, shouldBe, undefined);
  } catch (error) {
    const { message, remedy } = factsOf(error);
    return requirement('jobs', false, message, shouldBe, remedy);
  }
}

async function freeMiB(state: State): Promise<number> {
  // A place that cannot be used has a requirement of its own.
  const disk = await statfs(state.root).catch(() => statfs('/'));
  return Math.floor((disk.bavail * disk.bsize) / 2 ** 20);
}

async function validateInstance(
  { state, clock }: CommandContext,
  setup: ExecutorSetup | null,
): Promise<Requirement[]> {
  if (setup === null) {
    const { message, remedy } = notJoined(state.root);
    return [requirement('instance', false, message, 'an instance that this machine has joined', remedy)];
  }
  const { instanceUrl, route, credential } = setup;
  const shouldBe = 'an answer of the instance';
  try {
    await applyRoute(instanceUrl, route);
    const facts = await examineInstance(openHttp(instanceUrl), credential, () => clock.now());
    const answered = requirement('connection', true, `${instanceUrl} answers`, shouldBe, undefined);
    return [answered, ...instanceRequirements(facts)];
  } catch (error) {
    const { message, remedy } = factsOf(error);
    return [requirement('connection', false, message, shouldBe, remedy)];
  }
}

/** Returns the setup of this executor; null if it has none. */
function setupOf({ state, environment, onProgress }: CommandContext): ExecutorSetup | null {
  try {
    return readSetup(state, environment, onProgress);
  } catch (error) {
    if (factsOf(error).code === 'not_joined') return null;
    throw error;
  }
}

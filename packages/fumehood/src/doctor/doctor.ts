import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { release } from 'node:os';
import type { FumehoodError } from '@fumehood/base';
import { layout } from '#layout';
import { type Finding, networkMissing } from '@fumehood/microvm';
import { type Tier, tierMeaning } from '@fumehood/protocol';
import { prepareRuntime } from '../runtime/runtime.ts';
import { findFormerStates } from '../state/former-name.ts';
import { makeState, placeError } from '../state/make.ts';
import { accountError } from '../up/account.ts';
import type { State } from '../state/state.ts';
import { clientOf, findRunning } from '../up/running.ts';
import type { UpDeps } from '../up/up.ts';
import { buildHostGuest } from '../up/guest.ts';
import { vmmOrder } from '../up/vmm.ts';
import debianPackages from './debian-packages.json' with { type: 'json' };
import { probeThisHost } from './probe.ts';
import { qemuVersion, vmmFinding } from './vmm.ts';

/** The tiers that this machine offers, and the results of the checks. */
export interface DoctorReport {
  readonly tiers: readonly Tier[];
  readonly findings: readonly Finding[];
}

/** Debian packages that a machine needs to run jobs. A checkout needs some more, to build what a package brings. */
const needed = debianPackages.filter(
  ({ neededBy, onlyToBuild }) => ['check', 'demo'].includes(neededBy) && (layout.isCheckout || !onlyToBuild),
);

/**
 * Checks this machine, and boots a canary even if an earlier verdict still holds. Errors: `usage` and `settings_invalid` for a wrong
 * order of a VMM.
 */
export async function examine(deps: UpDeps): Promise<DoctorReport> {
  const { state, root, environment, onProgress } = deps;
  const order = vmmOrder(state, environment, undefined);
  const place = placeError(state, root);
  const account = accountError();
  const missing = needed.filter(({ program }) => program !== undefined && !existsSync(program));
  const found: Finding[] = [
    {
      check: 'system',
      ok: process.platform === 'linux' && process.arch === 'x64',
      detail: `${process.platform} ${release()}, ${process.arch}`,
    },
    {
      check: 'programs',
      ok: missing.length === 0,
      detail:
        missing.length === 0
          ? 'all installed'
          : `missing: ${missing.map(({ program }) => program).join(', ')}`,
      ...(missing.length > 0 && {
        remedy: `apt-get install --no-install-recommends ${missing.map((entry) => entry.package).join(' ')}`,
      }),
    },
    ...(place ? [findingOf('state directory', place)] : []),
    ...(account ? [findingOf('account', account)] : []),
    ...findFormerStates(process.env, process.getuid?.() ?? 0).map(({ path, remedy }) => ({
      check: 'former name',
      ok: false,
      detail: `${path} is a state directory of this product's former name`,
      remedy,
    })),
  ];
  if (missing.length > 0 || place || account) return { tiers: [], findings: found };
  makeState(state, root);
  await mkdir(state.vms, { recursive: true, mode: 0o700 });
  const runtime = await prepareRuntime(state, onProgress);
  const guest = await buildHostGuest(deps);
  const host = await probeThisHost({ ...deps, runtime, guest, order, fresh: true });
  const findings = [
    ...found,
    ...host.report.findings,
    vmmFinding({ order, host, qemuVersion: await qemuVersion() }),
    networkFinding(networkMissing()),
    ...(await executorFinding(state)),
  ];
  return { tiers: host.tiers, findings };
}

/** `missing`: why guests can have no network on this machine; null: they can. */
export function networkFinding(missing: string | null): Finding {
  const check = 'network of guests';
  if (missing === null) return { check, ok: true, detail: 'a guest can have one' };
  const remedy = 'Until that is mended, jobs that need a network wait for another executor.';
  return { check, ok: false, detail: `no guest can have one: ${missing}`, remedy };
}

/** Returns whether the executor that runs here leases jobs; nothing if none runs, or if its instance does not answer. */
async function executorFinding(state: State): Promise<Finding[]> {
  const { instance, executor } = findRunning(state);
  if (!instance?.address || !executor) return [];
  const status = await clientOf(state, instance.address)
    .then((client) => client.status())
    .catch(() => null);
  const reported = status?.executors.find(({ name }) => name === executor.name);
  if (!reported) return [];
  const check = 'executor';
  if (reported.trouble === null) return [{ check, ok: true, detail: `${executor.name} has no trouble` }];
  return [
    {
      check,
      ok: false,
      detail: `${executor.name} leases nothing, because jobs failed for a reason of this machine: ${reported.trouble}`,
      remedy: 'Mend that. The executor tries a canary from time to time, and leases again when it boots.',
    },
  ];
}

function findingOf(check: string, { message, remedy }: FumehoodError): Finding {
  return { check, ok: false, detail: message, ...(remedy !== undefined && { remedy }) };
}

/** Lays out the report: a line for each check, remedies, and the tiers. */
export function doctorLines({ tiers, findings }: DoctorReport): string[] {
  const lines = findings.flatMap(({ check, ok, detail, remedy }) => [
    `${ok ? '✓' : '✗'} ${check}: ${detail}`,
    ...(remedy && !ok ? [`    ${remedy}`] : []),
  ]);
  if (tiers.length === 0) return [...lines, '', 'This machine cannot run jobs.'];
  return [
    ...lines,
    '',
    'This machine can run jobs that accept:',
    ...tiers.map((tier) => `  ${tier}: ${tierMeaning[tier]}`),
  ];
}

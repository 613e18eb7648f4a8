import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { ensureUser } from '@fumehood/instance';
import { serviceFailed, serviceImpossible } from '../errors.ts';
import { type Service, changesOf, type UnitFacts, unitName, unitOf } from './unit.ts';

const unitDirectory = '/etc/systemd/system';
/** Where the Debian package has its units. */
const packagedDirectory = '/lib/systemd/system';
const settingsDirectory = '/etc/fumehood';

/** Returns the file with the secret variables of a service, which only root can read. */
export const environmentFile = (service: Service): string => join(settingsDirectory, `${service}.env`);

/** Throws unless this machine runs services and this user may install them. Errors: `service_impossible`. */
export function requireSystemd(root: boolean, service: Service): void {
  const instead = `Run \`fumehood ${service} start\` under a supervisor of your own.`;
  if (!root) throw serviceImpossible('only root can install a service', `Use sudo. ${instead}`);
  if (!existsSync('/run/systemd/system'))
    throw serviceImpossible('systemd does not run this machine', instead);
}

/**
 * Writes the unit of a service, or what differs from that of the Debian package, and starts it, also at each boot. One that runs is restarted.
 * Returns the path of the file. Errors: `service_failed`.
 */
export function installService(service: Service, given: Omit<UnitFacts, 'environmentFile'>): string {
  if (service === 'instance') ownState(given.state);
  const facts = { ...given, environmentFile: environmentFile(service) };
  const isPackaged = existsSync(join(packagedDirectory, unitName(service)));
  const file = isPackaged ? changesFile(service) : unitFile(service);
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  writeFileSync(file, isPackaged ? changesOf(service, facts) : unitOf(service, facts), { mode: 0o644 });
  systemctl('daemon-reload');
  systemctl('enable', '--quiet', unitName(service));
  systemctl('restart', unitName(service));
  return file;
}

/** Stores a variable that a unit's file would show to everybody. The admin's other variables stay. */
export function writeEnvironment(service: Service, name: string, value: string): void {
  mkdirSync(settingsDirectory, { recursive: true, mode: 0o755 });
  const file = environmentFile(service);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const others = lines.filter((line) => line !== '' && !line.startsWith(`${name}=`));
  const text = [...others, `${name}=${JSON.stringify(value)}`, ''].join('\n');
  rmSync(`${file}.new`, { force: true }); // an old file would keep its mode
  writeFileSync(`${file}.new`, text, { mode: 0o600, flag: 'wx' });
  renameSync(`${file}.new`, file);
}

/** The instance runs as a user of its own, who gets its state and what `fumehood doctor` or `up` of root made there before. */
function ownState(state: string): void {
  const { uid, gid } = ensureUser('fumehood');
  mkdirSync(state, { recursive: true, mode: 0o755 });
  run('chown', '--recursive', '--no-dereference', `${uid}:${gid}`, state);
}

/** Stops a service that was installed, and removes what was written for it. */
export function removeService(service: Service): void {
  if (![unitFile(service), changesFile(service)].some((file) => existsSync(file))) return;
  systemctl('disable', '--quiet', '--now', unitName(service));
  rmSync(unitFile(service), { force: true });
  rmSync(dirname(changesFile(service)), { recursive: true, force: true });
  systemctl('daemon-reload');
}

const unitFile = (service: Service) => join(unitDirectory, unitName(service));
const changesFile = (service: Service) => join(unitDirectory, `${unitName(service)}.d/fumehood.conf`);

/**
 * Waits until `isReady` says so, as long as the service runs. Errors: `service_failed` when it has ended, with the command that shows its
 * log, and after two minutes.
 */
export async function untilServing(
  service: Service,
  clock: Clock,
  isReady: () => Promise<boolean> | boolean,
): Promise<void> {
  const giveUpAt = clock.bootTime() + 120_000;
  while (!(await isReady())) {
    const { stdout } = spawnSync('systemctl', ['is-active', unitName(service)], { encoding: 'utf8' });
    if (!/^(active|activating)/.test(stdout) || clock.bootTime() > giveUpAt)
      throw serviceFailed(unitName(service), `it is ${stdout.trim() || 'unknown'}`);
    await clock.sleep(200);
  }
}

const systemctl = (...args: string[]) => run('systemctl', ...args);

function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return;
  throw serviceFailed(`${program} ${args.join(' ')}`, error?.message ?? stderr.trim());
}

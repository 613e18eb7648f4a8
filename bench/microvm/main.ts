// How quick a fresh VM is: `npm run bench:microvm`. Every figure is of this one run, in the whole jail, under emulation, without a
// network card, beside `docker run` and gVisor on the same image where they are installed. `npm run bench:microvm -- PART…` measures
// these parts alone: containers, clones, command.
import { cpus } from 'node:os';
import { join } from 'node:path';
import { CloneHost } from '../../test/clone-host.ts';
import { measureClones } from './clones.ts';
import { measureCommand } from './command.ts';
import { measureDocker, measureGvisor } from './containers.ts';
import { Report } from './report.ts';

const parts = process.argv.slice(2);
const isWanted = (part: string) => parts.length === 0 || parts.includes(part);
const report = new Report();
const host = await CloneHost.make();
try {
  if (isWanted('containers')) {
    const layer = join(host.root, 'images', 'first.layer');
    await measureDocker(layer, host.root, report);
    await measureGvisor(layer, host.root, report);
  }
  if (isWanted('clones')) await measureClones(host, report);
  if (isWanted('command')) await measureCommand(host.root, report);
} finally {
  await host.remove();
}
const limits = host.host.cgroups ? 'cgroup' : 'no cgroup';
process.stdout.write(
  [
    `${cpus().length} processors (${cpus()[0]?.model.trim()}), jail, ${limits}, seccomp filters, no NIC, ${host.shape.acceleration}`,
    '',
    report.table(),
  ].join('\n'),
);

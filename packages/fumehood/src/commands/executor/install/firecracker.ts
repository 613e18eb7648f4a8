import { type Command, Option } from 'commander';
import { commandContext } from '../../../cli/context.ts';
import { firecrackerVersion, sha256 } from '../../../cli/options.ts';
import { note, type PrintOptions, printDone, printJson } from '../../../cli/print.ts';

interface InstallOptions extends PrintOptions {
  readonly from?: string;
  readonly version?: string;
  readonly sha256?: string;
}

/** Adds `fumehood executor install firecracker`. */
export function addInstallFirecracker(install: Command): void {
  install
    .command('firecracker')
    .description('install a release of Firecracker, which runs VMs where there is hardware virtualization')
    .option('--from <file or url>', "archive of the release; default: the one of Firecracker's authors")
    .addOption(
      new Option('--version <version>', 'version of the release; default: the newest known one').argParser(
        firecrackerVersion,
      ),
    )
    .addOption(
      new Option(
        '--sha256 <hex>',
        'checksum of the archive, for a version whose checksum is not known',
      ).argParser(sha256),
    )
    .option('--json', 'print JSON on stdout: progress, and the installed release in the last line')
    .addHelpText(
      'after',
      [
        '',
        'Each version has a directory of its own in the state directory. The archive is only unpacked if its SHA-256 is the known one. An executor',
        'takes the newest version when it starts, or the binary that FUMEHOOD_FIRECRACKER names; those that run keep what they have.',
      ].join('\n'),
    )
    .action(run);
}

async function run(options: InstallOptions): Promise<void> {
  const { installFirecracker } = await import('../../../firecracker/install.ts');
  const { fetchLines } = await import('../../../firecracker/progress.ts');
  const { interruptedCode, watchInterrupts } = await import('../../../run/interrupt.ts');
  const { json, from, version, sha256: checksum } = options;
  const interrupts = watchInterrupts(() => {});
  try {
    const { binary, ...installed } = await installFirecracker({
      ...commandContext(),
      asked: { version, sha256: checksum },
      from,
      signal: interrupts.signal,
      onFetched: json ? (fetched) => printJson({ event: 'fetching', ...fetched }) : fetchLines(note),
    });
    const already = installed.alreadyInstalled ? ' already' : '';
    printDone(
      options,
      { ...installed, binary },
      `Firecracker ${installed.version} is${already} installed: ${binary}`,
    );
  } catch (error) {
    if (!interrupts.signal.aborted) throw error;
    note('interrupted: nothing is installed');
    process.exitCode = interruptedCode;
  } finally {
    interrupts.release();
  }
}

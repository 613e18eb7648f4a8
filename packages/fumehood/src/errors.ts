import { FumehoodError } from '@fumehood/base';

/** The arguments are wrong, and nothing was done. */
export function usage(message: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'usage', message, remedy });
}

export function stateBusy(state: string, holder: string): FumehoodError {
  return new FumehoodError({
    code: 'state_busy',
    message: `${holder} is starting or stopping Fumehood in ${state}`,
    remedy: 'Wait until it has finished, or set FUMEHOOD_STATE to another directory.',
  });
}

export function stateGone(state: string): FumehoodError {
  return new FumehoodError({
    code: 'state_gone',
    message: `another fumehood command removed ${state} while this one waited for it`,
    remedy: 'Run it again.',
  });
}

export function lockFailed(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'lock_failed',
    message: `the lock ${file} cannot be taken: ${why}`,
    remedy:
      'Check that the package util-linux is installed, and that the state directory is on a local disk.',
  });
}

/** What a command prints cannot be written: its reader is gone, or the disk is full. */
export function outputLost(name: 'stdout' | 'stderr', cause: Error): FumehoodError {
  return new FumehoodError({
    code: 'output_lost',
    message: `${name} cannot be written: ${cause.message}`,
    cause,
  });
}

/** A directory that other users cannot traverse. */
export interface ClosedDirectory {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Its owner. */
  readonly uid: number;
}

export function stateClosed(state: string, closed: readonly ClosedDirectory[]): FumehoodError {
  const described = closed.map(
    ({ path, mode, uid }) => `${path} (mode ${mode.toString(8).padStart(4, '0')}, owned by uid ${uid})`,
  );
  return new FumehoodError({
    code: 'state_closed',
    message: `the processes of Fumehood run as several users, who cannot reach ${state} through ${described.join(' and ')}`,
    remedy: `Run \`chmod o+x ${closed.map(({ path }) => path).join(' ')}\`, or set FUMEHOOD_STATE to another directory.`,
  });
}

export function stateUnusable(state: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'state_unusable',
    message: `nothing can run in the state directory ${JSON.stringify(state)}: ${why}`,
    remedy: 'Set FUMEHOOD_STATE to another directory.',
  });
}

export function accountMissing(uid: number): FumehoodError {
  return new FumehoodError({
    code: 'account_missing',
    message: `the uid ${uid}, which runs this command, has no account on this machine, and PostgreSQL does not run without one`,
    remedy: `Make an account as root (\`useradd --uid ${uid} NAME\`), or run the command as another user.`,
  });
}

export function stateUnsafe(state: string, directory: string): FumehoodError {
  return new FumehoodError({
    code: 'state_unsafe',
    message: `another user of this machine could change what is in ${state}, because of the owner or the mode of ${directory}`,
    remedy: `Own ${directory} (\`ls -ld\` shows its owner) and run \`chmod go-w ${directory}\`, or set FUMEHOOD_STATE to another directory.`,
  });
}

export function stateUnreachable(state: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'state_unreachable',
    message: `the state directory ${state} cannot be reached: ${why}`,
    remedy: 'Set FUMEHOOD_STATE to the path of a directory that your user can reach, or unset it.',
  });
}

export function stateForeign(directory: string): FumehoodError {
  return new FumehoodError({
    code: 'state_foreign',
    message: `${directory} does not carry the marker of a state directory, so that Fumehood neither uses nor removes what is in it`,
    remedy:
      'Set FUMEHOOD_STATE to a directory that is new or empty, or to a state directory. Remove one that an early build made without a marker yourself.',
  });
}

export function stateIsHere(state: string): FumehoodError {
  return usage(
    `the working directory is in ${state}, which \`fumehood clean --all\` removes`,
    'Change to another directory, and run it again.',
  );
}

export function notStarted(what: string, why: string, log: string): FumehoodError {
  return new FumehoodError({
    code: 'not_started',
    message: `${what} did not start: ${why}`,
    remedy: `Read its log: ${log}.`,
  });
}

export function alreadyRunning(what: string, state: string): FumehoodError {
  return new FumehoodError({
    code: 'already_running',
    message: `${what} runs in ${state} already`,
    remedy: 'Stop it with `fumehood down`, or set FUMEHOOD_STATE to another directory.',
  });
}

/** A service cannot be installed here. */
export function serviceImpossible(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'service_impossible', message: why, remedy });
}

export function serviceFailed(what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'service_failed',
    message: `${what} failed: ${why}`,
    remedy: '`journalctl -u fumehood-instance -u fumehood-executor -n 50` shows what it said.',
  });
}

export function notJoined(state: string): FumehoodError {
  return new FumehoodError({
    code: 'not_joined',
    message: `the executor of this machine has not joined an instance (there is no executor.json in ${state})`,
    remedy: 'On the instance, `fumehood executors add NAME` prints the command that joins it.',
  });
}

export function notRunning(state: string): FumehoodError {
  return new FumehoodError({
    code: 'not_running',
    message: `no instance runs in ${state}`,
    remedy:
      'Start one with `fumehood up`, set FUMEHOOD_STATE to the state directory of a running one, or use one elsewhere with `fumehood login URL`.',
  });
}

export function tokenUnreadable(file: string, local: string): FumehoodError {
  return new FumehoodError({
    code: 'token_unreadable',
    message: `your user cannot read ${file}, the access token of the user who started the instance`,
    remedy: `Ask for a token of your own (\`fumehood tokens create\`), and store it with \`fumehood login ${local}\`.`,
  });
}

export function loginExposed(file: string): FumehoodError {
  return new FumehoodError({
    code: 'login_exposed',
    message: `other users may read ${file}, which holds your access token`,
    remedy: `Run \`chmod 600 ${file}\`. If others have read it, revoke the token (\`fumehood tokens revoke\`).`,
  });
}

export function loginInvalid(file: string): FumehoodError {
  return new FumehoodError({
    code: 'login_invalid',
    message: `${file} is not what \`fumehood login\` writes`,
    remedy: 'Run `fumehood login URL` again, or `fumehood logout`.',
  });
}

export function stillStarting(state: string): FumehoodError {
  return new FumehoodError({
    code: 'still_starting',
    message: `the instance in ${state} is starting`,
    remedy: 'Try again in a moment: `fumehood up` waits until it has started.',
  });
}

export function settingsInvalid(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'settings_invalid',
    message: `${file} is not valid: ${why}`,
    remedy: 'Correct or remove the file. docs/access.md describes the settings.',
  });
}

/** The executor was asked to use Firecracker alone, and cannot. */
export function vmmUnavailable(why: string): FumehoodError {
  return new FumehoodError({
    code: 'vmm_unavailable',
    message: `nothing is started: VMs shall run on Firecracker, and it cannot be used: ${why}`,
    remedy:
      'Run `fumehood doctor` for the state of this machine, and `fumehood executor install firecracker` if Firecracker is missing. Or let Fumehood choose: set `vmm` to auto, in settings.json, in FUMEHOOD_VMM or with `fumehood up --vmm auto`.',
  });
}

export function stillRunning(state: string): FumehoodError {
  return new FumehoodError({
    code: 'still_running',
    message: `an instance or an executor is running in ${state}`,
    remedy: 'Stop it with `fumehood down`.',
  });
}

export function nothingToBackUp(state: string): FumehoodError {
  return new FumehoodError({
    code: 'nothing_to_back_up',
    message: `no instance was ever started in ${state}`,
    remedy: 'Set FUMEHOOD_STATE to the state directory of the instance.',
  });
}

export function backupUnwritable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'backup_unwritable',
    message: `the backup ${file} cannot be written: ${why}`,
    remedy: 'Name a file in a directory that exists and that you can write to.',
  });
}

export function backupUnreadable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'backup_unreadable',
    message: `the backup ${file} cannot be read: ${why}`,
    remedy: 'Name a file that `fumehood backup` has written.',
  });
}

export function imageUnknown(name: string, known: readonly string[]): FumehoodError {
  return usage(
    `${name} is not an image: \`fumehood run\` takes a file, an image of a registry, or the name of one that comes with Fumehood`,
    `Give an image of a registry with its tag or its registry (docker.io/library/debian, debian:12), an OCI layout as oci:DIR[:REF] (\`skopeo copy docker://IMAGE oci:DIR\` makes one), an archive as docker-archive:FILE, or one of: ${known.join(', ')}.`,
  );
}

export function indexConfigUnreadable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'index_config_unreadable',
    message: `${file} cannot be read: ${why}`,
    remedy: 'Give a file that is there and has at most 256 KiB.',
  });
}

export function policyInvalid(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'policy_invalid',
    message: `${file} holds no policy: ${why}`,
    remedy:
      'Give a file with none, public, learn, or allow:HOST[:PORT] with more hosts after commas; or the policy as JSON.',
  });
}

export function repositoryUnreadable(path: string, why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'repository_unreadable', message: `${path}: ${why}`, remedy });
}

/** A directory does not have the commit that the instance has of a repository. */
export function historyForeign(path: string, name: string, commit: string): FumehoodError {
  return new FumehoodError({
    code: 'history_foreign',
    message: `${path} has no commit ${commit.slice(0, 12)}, at which the instance has ${name}`,
    remedy: `Give the directory of ${name}. If this is it, \`fumehood repos add ${path} --name ${name}\` sends all of its history.`,
  });
}

/** The instance could not sync a repository, which it tries again. */
export function syncFailed(name: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'sync_failed',
    message: `${name} could not be synced: ${why}`,
    remedy: `The instance tries again. \`fumehood repos add\` changes the URL and the credential; \`fumehood repos show ${name}\` shows how it goes.`,
  });
}

export function demoFailed(message: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'demo_failed', message, remedy });
}

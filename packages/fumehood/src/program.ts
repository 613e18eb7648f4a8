import { Command } from 'commander';
import { addBackup } from './commands/backup.ts';
import { addBrokerAdd } from './commands/broker/add.ts';
import { addBrokerList } from './commands/broker/list.ts';
import { addBrokerRemove } from './commands/broker/remove.ts';
import { addClean } from './commands/clean.ts';
import { addCodeCallers } from './commands/code/callers.ts';
import { addCodeDef } from './commands/code/def.ts';
import { addCodeHover } from './commands/code/hover.ts';
import { addCodeImplementations } from './commands/code/implementations.ts';
import { addCodeRefs } from './commands/code/refs.ts';
import { addCodeSymbols } from './commands/code/symbols.ts';
import { addDemo } from './commands/demo.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDown } from './commands/down.ts';
import { addInstallFirecracker } from './commands/executor/install/firecracker.ts';
import { addExecutorJoin } from './commands/executor/join.ts';
import { addExecutorLeave } from './commands/executor/leave.ts';
import { addExecutorStart } from './commands/executor/start.ts';
import { addExecutorValidate } from './commands/executor/validate.ts';
import { addExecutorsAdd } from './commands/executors/add.ts';
import { addCredentialsCreate } from './commands/executors/credentials/create.ts';
import { addCredentialsList } from './commands/executors/credentials/list.ts';
import { addCredentialsRevoke } from './commands/executors/credentials/revoke.ts';
import { addCredentialsRotate } from './commands/executors/credentials/rotate.ts';
import { addExecutorsDrain } from './commands/executors/drain.ts';
import { addExecutorsList } from './commands/executors/list.ts';
import { addExecutorsResume } from './commands/executors/resume.ts';
import { addIndexConfigRemove } from './commands/index/config/remove.ts';
import { addIndexConfigSet } from './commands/index/config/set.ts';
import { addIndexConfigShow } from './commands/index/config/show.ts';
import { addIndexDependenciesList } from './commands/index/dependencies/list.ts';
import { addIndexDependenciesOff } from './commands/index/dependencies/off.ts';
import { addIndexDependenciesOn } from './commands/index/dependencies/on.ts';
import { addIndexRun } from './commands/index/run.ts';
import { addIndexSettingsRemove } from './commands/index/settings/remove.ts';
import { addIndexSettingsSet } from './commands/index/settings/set.ts';
import { addIndexSettingsShow } from './commands/index/settings/show.ts';
import { addIndexStatus } from './commands/index/status.ts';
import { addIndexPoliciesList } from './commands/index-policies/list.ts';
import { addIndexPoliciesRemove } from './commands/index-policies/remove.ts';
import { addIndexPoliciesSet } from './commands/index-policies/set.ts';
import { addIndexersList } from './commands/indexers/list.ts';
import { addIndexersReset } from './commands/indexers/reset.ts';
import { addIndexersSet } from './commands/indexers/set.ts';
import { addInstanceInstall } from './commands/instance/install.ts';
import { addInstanceStart } from './commands/instance/start.ts';
import { addJobsCancel } from './commands/jobs/cancel.ts';
import { addJobsDelete } from './commands/jobs/delete.ts';
import { addJobsList } from './commands/jobs/list.ts';
import { addJobsLogs } from './commands/jobs/logs.ts';
import { addJobsNetwork } from './commands/jobs/network.ts';
import { addJobsPolicy } from './commands/jobs/policy.ts';
import { addJobsShow } from './commands/jobs/show.ts';
import { addJobsWhy } from './commands/jobs/why.ts';
import { addLogin } from './commands/login.ts';
import { addLogout } from './commands/logout.ts';
import { addMcp } from './commands/mcp.ts';
import { addCeilingsList } from './commands/network/ceilings/list.ts';
import { addCeilingsRemove } from './commands/network/ceilings/remove.ts';
import { addCeilingsSet } from './commands/network/ceilings/set.ts';
import { addOrgsCreate } from './commands/orgs/create.ts';
import { addOrgsList } from './commands/orgs/list.ts';
import { addOrgsMembersAdd } from './commands/orgs/members/add.ts';
import { addOrgsMembersRemove } from './commands/orgs/members/remove.ts';
import { addOrgsRemove } from './commands/orgs/remove.ts';
import { addPolicyCheck } from './commands/policy/check.ts';
import { addRegistriesAdd } from './commands/registries/add.ts';
import { addRegistriesList } from './commands/registries/list.ts';
import { addRegistriesRemove } from './commands/registries/remove.ts';
import { addReposAdd } from './commands/repos/add.ts';
import { addReposList } from './commands/repos/list.ts';
import { addReposRemove } from './commands/repos/remove.ts';
import { addReposShow } from './commands/repos/show.ts';
import { addReposSync } from './commands/repos/sync.ts';
import { addReposWebhookRemove } from './commands/repos/webhook/remove.ts';
import { addReposWebhookSet } from './commands/repos/webhook/set.ts';
import { addReposWebhookShow } from './commands/repos/webhook/show.ts';
import { addRestore } from './commands/restore.ts';
import { addRun } from './commands/run.ts';
import { addSecretsList } from './commands/secrets/list.ts';
import { addSecretsRemove } from './commands/secrets/remove.ts';
import { addSecretsSet } from './commands/secrets/set.ts';
import { addSharesList } from './commands/shares/list.ts';
import { addSharesSet } from './commands/shares/set.ts';
import { addStatus } from './commands/status.ts';
import { addTokensCreate } from './commands/tokens/create.ts';
import { addTokensList } from './commands/tokens/list.ts';
import { addTokensRevoke } from './commands/tokens/revoke.ts';
import { addUp } from './commands/up.ts';
import { addUsersCreate } from './commands/users/create.ts';
import { addUsersList } from './commands/users/list.ts';
import { addBatches } from './groups/batches.ts';
import { targetOptions } from './target/target.ts';
import { versionOfThis } from './version.ts';

/**
 * Assembles the command line: `commands/` has a file for each command, `groups/` one for each large group of commands. A command loads
 * what its action needs when it runs, so that `--help` and `--version` are fast. `parseAsync` rejects with `CommanderError` when commander
 * has already printed everything: help, the version or a mistake in the arguments.
 */
export function makeProgram(): Command {
  const program = new Command('fumehood')
    .description('Runs untrusted code in fresh microVMs.')
    .version(versionOfThis())
    .showHelpAfterError(
      '  Run `fumehood --help` or `fumehood COMMAND --help` for the commands and their options.',
    )
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'fumehood: ')) })
    .addHelpText(
      'after',
      [
        '',
        'Environment:',
        '  FUMEHOOD_STATE  state directory; default: /var/lib/fumehood for root, ~/.local/state/fumehood for others',
        '  FUMEHOOD_URL    address of the instance, as in `fumehood login URL`; FUMEHOOD_TOKEN is the access token for it',
        '  FUMEHOOD_VMM    auto, qemu or firecracker: what VMs run on; FUMEHOOD_FIRECRACKER is the path of a Firecracker binary',
        '  FUMEHOOD_DEBUG  if set, an unexpected error is printed with its stack',
      ].join('\n'),
    )
    .exitOverride()
    // `--version` of a command is that of what it installs.
    .enablePositionalOptions();

  const run = addRun(program);
  addDemo(program);

  const jobs = program.command('jobs').description('list, inspect, cancel and delete jobs');
  addJobsList(jobs);
  addJobsShow(jobs);
  addJobsWhy(jobs);
  addJobsLogs(jobs);
  addJobsNetwork(jobs);
  addJobsPolicy(jobs);
  addJobsCancel(jobs);
  addJobsDelete(jobs);

  const policy = program.command('policy').description('try policies of the network');
  addPolicyCheck(policy);

  const shares = program.command('shares').description('list and set the share of the leases of each tenant');
  addSharesList(shares);
  addSharesSet(shares);

  const tokens = program.command('tokens').description('create, list and revoke access tokens');
  addTokensCreate(tokens);
  addTokensList(tokens);
  addTokensRevoke(tokens);

  const users = program.command('users').description('create and list users');
  addUsersCreate(users);
  addUsersList(users);

  const orgs = program
    .command('orgs')
    .description('manage organisations, whose members share batch changes and secrets');
  addOrgsCreate(orgs);
  addOrgsList(orgs);
  addOrgsRemove(orgs);
  const members = orgs.command('members').description('manage the members of organisations');
  addOrgsMembersAdd(members);
  addOrgsMembersRemove(members);

  const registries = program
    .command('registries')
    .description('manage the credentials for registries that executors get with jobs');
  addRegistriesAdd(registries);
  addRegistriesList(registries);
  addRegistriesRemove(registries);
  const repos = program.command('repos').description('manage the repositories that the instance mirrors');
  addReposAdd(repos);
  addReposList(repos);
  addReposShow(repos);
  addReposSync(repos);
  addReposRemove(repos);
  const webhook = repos
    .command('webhook')
    .description('manage by what code hosts say that a repository has changed');
  addReposWebhookSet(webhook);
  addReposWebhookShow(webhook);
  addReposWebhookRemove(webhook);

  const index = program.command('index').description('have commits indexed, and see what became of it');
  addIndexRun(index);
  addIndexStatus(index);
  const config = index
    .command('config')
    .description('manage how repositories are indexed, whatever their commits say');
  addIndexConfigSet(config);
  addIndexConfigShow(config);
  addIndexConfigRemove(config);
  const settings = index.command('settings').description('manage what the index jobs of repositories get');
  addIndexSettingsSet(settings);
  addIndexSettingsShow(settings);
  addIndexSettingsRemove(settings);
  const dependencies = index
    .command('dependencies')
    .description('manage whether the packages that repositories depend on are indexed');
  addIndexDependenciesOn(dependencies);
  addIndexDependenciesOff(dependencies);
  addIndexDependenciesList(dependencies);
  const policies = program
    .command('index-policies')
    .description('manage which commits are indexed whenever a repository was synced');
  addIndexPoliciesList(policies);
  addIndexPoliciesSet(policies);
  addIndexPoliciesRemove(policies);
  const code = program.command('code').description('ask the indexes of repositories');
  addCodeDef(code);
  addCodeRefs(code);
  addCodeImplementations(code);
  addCodeCallers(code);
  addCodeHover(code);
  addCodeSymbols(code);
  const batches = addBatches(program);
  const indexers = program.command('indexers').description('choose the container images of indexers');
  addIndexersList(indexers);
  addIndexersSet(indexers);
  addIndexersReset(indexers);

  const broker = program
    .command('broker')
    .description('manage the servers that jobs reach with a credential that no guest gets');
  addBrokerAdd(broker);
  addBrokerList(broker);
  addBrokerRemove(broker);

  const network = program.command('network').description('manage what jobs may reach over the network');
  const ceilings = network
    .command('ceilings')
    .description('list, set and remove what the jobs of queues and tenants may reach at most');
  addCeilingsList(ceilings);
  addCeilingsSet(ceilings);
  addCeilingsRemove(ceilings);

  const secrets = program
    .command('secrets')
    .description('set, list and remove secrets, for the environment of commands and of batch changes');
  addSecretsSet(secrets);
  addSecretsList(secrets);
  addSecretsRemove(secrets);

  const executors = program
    .command('executors')
    .description('add, list and drain executors, and manage their credentials');
  addExecutorsAdd(executors);
  addExecutorsList(executors);
  addExecutorsDrain(executors);
  addExecutorsResume(executors);

  const instance = program.command('instance').description('run the instance of this machine by itself');
  addInstanceStart(instance);
  addInstanceInstall(instance);

  const executor = program
    .command('executor')
    .description('make this machine an executor of an instance elsewhere');
  addExecutorJoin(executor);
  addExecutorStart(executor);
  addExecutorValidate(executor);
  addExecutorLeave(executor);
  const install = executor.command('install').description('install a virtual machine monitor');
  addInstallFirecracker(install);

  const credentials = executors
    .command('credentials')
    .description('create, list, rotate and revoke the credentials that executors lease with');
  addCredentialsCreate(credentials);
  addCredentialsList(credentials);
  addCredentialsRotate(credentials);
  addCredentialsRevoke(credentials);

  const commands = [
    run,
    jobs,
    shares,
    tokens,
    users,
    orgs,
    registries,
    broker,
    network,
    repos,
    index,
    code,
    indexers,
    batches,
    secrets,
    executors,
  ];
  for (const command of commands.flatMap(leavesOf))
    for (const option of targetOptions()) command.addOption(option);

  addLogin(program);
  addLogout(program);
  addMcp(program);
  addUp(program);
  addDown(program);
  addStatus(program);
  addBackup(program);
  addRestore(program);
  addClean(program);
  addDoctor(program);
  return program;
}

/** Returns the commands below a command that do something, or the command itself if there are none. */
function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

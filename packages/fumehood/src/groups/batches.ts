import type { Command } from 'commander';
import { addBatchesApply } from '../commands/batches/apply.ts';
import { addBatchesArchive } from '../commands/batches/archive.ts';
import { addBatchesCancel } from '../commands/batches/cancel.ts';
import { addBatchesClose } from '../commands/batches/close.ts';
import { addBatchesCloseChangesets } from '../commands/batches/close-changesets.ts';
import { addCodeHostsList } from '../commands/batches/code-hosts/list.ts';
import { addCodeHostsRemove } from '../commands/batches/code-hosts/remove.ts';
import { addCodeHostsSet } from '../commands/batches/code-hosts/set.ts';
import { addBatchesComment } from '../commands/batches/comment.ts';
import { addBatchesDelete } from '../commands/batches/delete.ts';
import { addBatchesDetach } from '../commands/batches/detach.ts';
import { addBatchesExecute } from '../commands/batches/execute.ts';
import { addBatchesList } from '../commands/batches/list.ts';
import { addBatchesLogs } from '../commands/batches/logs.ts';
import { addBatchesMerge } from '../commands/batches/merge.ts';
import { addBatchesMove } from '../commands/batches/move.ts';
import { addBatchesNew } from '../commands/batches/new.ts';
import { addBatchesPreview } from '../commands/batches/preview.ts';
import { addBatchesPublish } from '../commands/batches/publish.ts';
import { addBatchesReenqueue } from '../commands/batches/reenqueue.ts';
import { addBatchesRename } from '../commands/batches/rename.ts';
import { addBatchesResume } from '../commands/batches/resume.ts';
import { addBatchesRetry } from '../commands/batches/retry.ts';
import { addBatchesRolloutRemove } from '../commands/batches/rollout/remove.ts';
import { addBatchesRolloutSet } from '../commands/batches/rollout/set.ts';
import { addBatchesRolloutShow } from '../commands/batches/rollout/show.ts';
import { addBatchesSettingsRemove } from '../commands/batches/settings/remove.ts';
import { addBatchesSettingsSet } from '../commands/batches/settings/set.ts';
import { addBatchesSettingsShow } from '../commands/batches/settings/show.ts';
import { addBatchesShow } from '../commands/batches/show.ts';
import { addBatchesStatus } from '../commands/batches/status.ts';
import { addBatchesValidate } from '../commands/batches/validate.ts';

/** Adds `fumehood batches` with its commands, and returns it. */
export function addBatches(program: Command): Command {
  const batches = program.command('batches').description('change many repositories by one batch spec');
  addBatchesNew(batches);
  addBatchesValidate(batches);
  addBatchesExecute(batches);
  addBatchesStatus(batches);
  addBatchesLogs(batches);
  addBatchesCancel(batches);
  addBatchesRetry(batches);
  addBatchesPreview(batches);
  addBatchesApply(batches);
  addBatchesList(batches);
  addBatchesShow(batches);
  addBatchesPublish(batches);
  addBatchesReenqueue(batches);
  addBatchesMerge(batches);
  addBatchesComment(batches);
  addBatchesCloseChangesets(batches);
  addBatchesArchive(batches);
  addBatchesDetach(batches);
  addBatchesResume(batches);
  addBatchesClose(batches);
  addBatchesRename(batches);
  addBatchesMove(batches);
  addBatchesDelete(batches);
  const rollout = batches
    .command('rollout')
    .description('manage when and how fast changesets are changed on code hosts');
  addBatchesRolloutShow(rollout);
  addBatchesRolloutSet(rollout);
  addBatchesRolloutRemove(rollout);
  const batchSettings = batches
    .command('settings')
    .description('manage what the jobs of all batch changes get');
  addBatchesSettingsShow(batchSettings);
  addBatchesSettingsSet(batchSettings);
  addBatchesSettingsRemove(batchSettings);
  const codeHosts = batches
    .command('code-hosts')
    .description('manage where the instance opens changesets, and with which tokens');
  addCodeHostsList(codeHosts);
  addCodeHostsSet(codeHosts);
  addCodeHostsRemove(codeHosts);
  return batches;
}

import { accessRoutes } from './api/access.ts';
import { artifactRoutes } from './api/artifacts.ts';
import { batchFormRoutes } from './api/batch-forms.ts';
import { blobRoutes } from './api/blobs.ts';
import { batchChangeRoutes } from './api/batch-changes.ts';
import { batchEventRoutes } from './api/batch-events.ts';
import { batchFileRoutes } from './api/batch-files.ts';
import { batchSettingsRoutes } from './api/batch-settings.ts';
import { batchSpecRoutes } from './api/batch-specs.ts';
import { codeHostRoutes } from './api/code-hosts.ts';
import { codeRoutes } from './api/code.ts';
import { deliveryRoutes } from './api/deliveries.ts';
import { dependencyRoutes } from './api/dependencies.ts';
import { eventRoutes } from './api/events.ts';
import { executorRoutes } from './api/executors.ts';
import { graphqlRoutes } from './api/graphql.ts';
import { historyRoutes } from './api/histories.ts';
import { indexConfigRoutes } from './api/index-configs.ts';
import { personIndexUploadRoutes } from './api/index-uploads.ts';
import { indexSettingsRoutes } from './api/index-settings.ts';
import { indexingRoutes } from './api/indexing.ts';
import { inputRoutes } from './api/input.ts';
import { jobRoutes } from './api/jobs.ts';
import { jobLogRoutes } from './api/logs.ts';
import { organisationRoutes } from './api/organisations.ts';
import { jobNetworkRoutes } from './api/receipts.ts';
import { brokerRoutes } from './api/broker.ts';
import { ceilingRoutes } from './api/ceilings.ts';
import { rawRoutes } from './api/raw.ts';
import { registryRoutes } from './api/registries.ts';
import { mirrorRoutes } from './api/mirrors.ts';
import { repositoryRoutes } from './api/repositories.ts';
import { secretRoutes } from './api/secrets.ts';
import { shareRoutes } from './api/shares.ts';
import { statusRoutes } from './api/status.ts';
import { uploadRoutes } from './api/uploads.ts';
import { webhookRoutes } from './api/webhooks.ts';
import type { Routes } from './deps.ts';
import { jobArtifactRoutes } from './executor/artifact.ts';
import { batchStepRoutes } from './executor/batch-steps.ts';
import { authTestRoutes } from './executor/auth-test.ts';
import { jobBatchFileRoutes } from './executor/batch-files.ts';
import { dequeueRoutes } from './executor/dequeue.ts';
import { gitRoutes } from './executor/git.ts';
import { heartbeatRoutes } from './executor/heartbeat.ts';
import { jobInputRoutes } from './executor/input.ts';
import { joinRoutes } from './executor/join.ts';
import { leaveRoutes } from './executor/leave.ts';
import { logRoutes } from './executor/logs.ts';
import { markRoutes } from './executor/marks.ts';
import { pushRoutes } from './executor/push.ts';
import { receiptRoutes } from './executor/receipts.ts';
import { srcVersionRoutes } from './executor/src-version.ts';
import { indexUploadRoutes } from './executor/upload.ts';

/**
 * All routes of the instance. Each file in `executor/` (below `/.executors`, for executors and their jobs) and in `api/` (below
 * `/api`, for people and programs, `/.api`, for upstream's clients, and `/hooks`, for code hosts) registers one group.
 */
export const allRoutes: readonly Routes[] = [
  authTestRoutes,
  dequeueRoutes,
  heartbeatRoutes,
  joinRoutes,
  leaveRoutes,
  pushRoutes,
  logRoutes,
  jobInputRoutes,
  jobArtifactRoutes,
  batchStepRoutes,
  jobBatchFileRoutes,
  receiptRoutes,
  markRoutes,
  gitRoutes,
  indexUploadRoutes,
  srcVersionRoutes,
  accessRoutes,
  jobRoutes,
  eventRoutes,
  jobLogRoutes,
  artifactRoutes,
  jobNetworkRoutes,
  inputRoutes,
  blobRoutes,
  batchFormRoutes,
  registryRoutes,
  brokerRoutes,
  ceilingRoutes,
  secretRoutes,
  organisationRoutes,
  codeHostRoutes,
  batchSpecRoutes,
  batchEventRoutes,
  batchFileRoutes,
  batchChangeRoutes,
  batchSettingsRoutes,
  mirrorRoutes,
  webhookRoutes,
  deliveryRoutes,
  repositoryRoutes,
  rawRoutes,
  uploadRoutes,
  personIndexUploadRoutes,
  codeRoutes,
  graphqlRoutes,
  indexingRoutes,
  historyRoutes,
  indexConfigRoutes,
  indexSettingsRoutes,
  dependencyRoutes,
  shareRoutes,
  executorRoutes,
  statusRoutes,
];

/** Routes with a pool of database connections of their own, so that no other route keeps an executor or an admin waiting. */
export const reservedRoutes: ReadonlySet<Routes> = new Set<Routes>([
  authTestRoutes,
  dequeueRoutes,
  heartbeatRoutes,
  pushRoutes,
  statusRoutes,
]);

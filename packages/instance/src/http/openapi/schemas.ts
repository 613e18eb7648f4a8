import {
  apiErrorSchema,
  artifactSchema,
  artifactsSchema,
  attemptsSchema,
  attemptSchema,
  batchEventSchema,
  batchFileSchema,
  batchSpecRecordSchema,
  createBatchSpecSchema,
  batchChangeRecordSchema,
  batchChangesSchema,
  changesetsSchema,
  previewSchema,
  batchOptionsSchema,
  batchSettingsSchema,
  setBatchSettingsSchema,
  rolloutSchema,
  setRolloutSchema,
  workspaceDetailSchema,
  workspacePageSchema,
  codeHostSchema,
  codeHostsSchema,
  createCredentialSchema,
  createJobSchema,
  createJoinTokenSchema,
  createTokenSchema,
  createUserSchema,
  codeCallersSchema,
  codeHoverSchema,
  codeLocationsSchema,
  indexConfigSchema,
  indexSettingsSchema,
  dependenciesSchema,
  dependencyIndexingSchema,
  codeSymbolsSchema,
  indexersSchema,
  indexingSchema,
  indexPoliciesSchema,
  indexPolicySchema,
  indexStatusSchema,
  credentialRecordSchema,
  credentialsSchema,
  definitionExampleSchema,
  definitionsSchema,
  digestSchema,
  jobEventSchema,
  jobNetworkSchema,
  jobPageSchema,
  jobReceiptSchema,
  jobRecordSchema,
  joinTokenSchema,
  locationSchema,
  logEntrySchema,
  madeCredentialSchema,
  madeTokenSchema,
  madeWebhookSchema,
  organisationRecordSchema,
  organisationsSchema,
  ceilingRecordSchema,
  ceilingRecordsSchema,
  brokerRecordSchema,
  brokerRecordsSchema,
  registryCredentialSchema,
  registryCredentialsSchema,
  repositoryRecordSchema,
  repositoryRecordsSchema,
  repositoryNameSchema,
  commitSchema,
  shareSchema,
  secretRecordSchema,
  secretsSchema,
  setBrokerSchema,
  setCeilingSchema,
  setCodeHostSchema,
  setRegistryCredentialSchema,
  setSecretSchema,
  sharesSchema,
  statusSchema,
  tokenRecordSchema,
  tokensSchema,
  uploadRecordSchema,
  userRecordSchema,
  usersSchema,
  webhookSchema,
  whySchema,
} from '@fumehood/protocol';
import * as z from 'zod';

/** The bodies of requests, by their names in the document. */
const requestSchemas = {
  CreateJob: createJobSchema,
  CreateUser: createUserSchema,
  CreateToken: createTokenSchema,
  CreateCredential: createCredentialSchema,
  CreateJoinToken: createJoinTokenSchema,
  SetBroker: setBrokerSchema,
  SetCeiling: setCeilingSchema,
  SetRegistry: setRegistryCredentialSchema,
  SetSecret: setSecretSchema,
  CreateBatchSpec: createBatchSpecSchema,
  BatchOptions: batchOptionsSchema,
  SetRollout: setRolloutSchema,
  SetCodeHost: setCodeHostSchema,
} as const;

/** The bodies of answers, by their names in the document. */
const answerSchemas = {
  Job: jobRecordSchema,
  JobPage: jobPageSchema,
  JobEvent: jobEventSchema,
  LogEntry: logEntrySchema,
  Attempt: attemptSchema,
  Attempts: attemptsSchema,
  Why: whySchema,
  Artifact: artifactSchema,
  Artifacts: artifactsSchema,
  JobNetwork: jobNetworkSchema,
  Receipt: jobReceiptSchema,
  Share: shareSchema,
  Shares: sharesSchema,
  Status: statusSchema,
  Upload: uploadRecordSchema,
  Location: locationSchema,
  Definitions: definitionsSchema,
  DefinitionExample: definitionExampleSchema,
  User: userRecordSchema,
  Users: usersSchema,
  Token: tokenRecordSchema,
  Tokens: tokensSchema,
  MadeToken: madeTokenSchema,
  Credential: credentialRecordSchema,
  Credentials: credentialsSchema,
  MadeCredential: madeCredentialSchema,
  JoinToken: joinTokenSchema,
  BrokerEntry: brokerRecordSchema,
  BrokerEntries: brokerRecordsSchema,
  Ceiling: ceilingRecordSchema,
  Ceilings: ceilingRecordsSchema,
  Registry: registryCredentialSchema,
  Registries: registryCredentialsSchema,
  Secret: secretRecordSchema,
  Secrets: secretsSchema,
  BatchEvent: batchEventSchema,
  BatchSpec: batchSpecRecordSchema,
  BatchFile: batchFileSchema,
  BatchSettings: batchSettingsSchema,
  SetBatchSettings: setBatchSettingsSchema,
  Rollout: rolloutSchema,
  BatchWorkspaces: workspacePageSchema,
  BatchWorkspace: workspaceDetailSchema,
  BatchPreview: previewSchema,
  BatchChange: batchChangeRecordSchema,
  BatchChanges: batchChangesSchema,
  Changesets: changesetsSchema,
  CodeHost: codeHostSchema,
  CodeHosts: codeHostsSchema,
  Organisation: organisationRecordSchema,
  Organisations: organisationsSchema,
  Indexing: indexingSchema,
  IndexStatus: indexStatusSchema,
  IndexConfig: indexConfigSchema,
  IndexSettings: indexSettingsSchema,
  Dependencies: dependenciesSchema,
  DependencyIndexing: dependencyIndexingSchema,
  IndexPolicy: indexPolicySchema,
  IndexPolicies: indexPoliciesSchema,
  Indexers: indexersSchema,
  CodeCallers: codeCallersSchema,
  CodeHover: codeHoverSchema,
  CodeLocations: codeLocationsSchema,
  CodeSymbols: codeSymbolsSchema,
  Repository: repositoryRecordSchema,
  Repositories: repositoryRecordsSchema,
  Webhook: webhookSchema,
  MadeWebhook: madeWebhookSchema,
  StoredBlob: z.object({ digest: digestSchema }),
  StoredCommit: z.object({ repository: repositoryNameSchema, commit: commitSchema }),
  InputOffset: z.object({ offset: z.int().nonnegative() }),
  Error: apiErrorSchema,
} as const;
export type AnswerName = keyof typeof answerSchemas;

/** A JSON Schema of the document. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const reference = (name: string) => `#/components/schemas/${name}`;

/** Returns the schema of an answer, by reference. */
export const answerReference = (name: AnswerName): JsonSchema => ({ $ref: reference(name) });

/** Returns all schemas with a name, which refer to each other. */
export function namedSchemas(): Record<string, JsonSchema> {
  const convert = (schemas: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output') => {
    const registry = z.registry<{ id?: string | undefined }>();
    for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
    return z.toJSONSchema(registry, { io, uri: reference, unrepresentable: 'any' }).schemas;
  };
  const all = { ...convert(requestSchemas, 'input'), ...convert(answerSchemas, 'output') };
  return Object.fromEntries(Object.entries(all).map(([name, schema]) => [name, bare(schema)]));
}

/** Returns the schema of a part of a request: by reference if it has a name. */
export function requestSchema(schema: z.ZodType): JsonSchema {
  const [name] = Object.entries(requestSchemas).find(([, named]) => named === schema) ?? [];
  if (name !== undefined) return { $ref: reference(name) };
  return bare(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
}

/** Returns the schemas of parameters by their names, as what their text stands for, and which of them are required. */
export function parameterSchemas(schema: z.ZodObject): {
  readonly properties: Readonly<Record<string, JsonSchema>>;
  readonly required: readonly string[];
} {
  const { required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const { properties = {} } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return { properties: properties as Record<string, JsonSchema>, required };
}

/** Removes what says which JSON Schema a schema is and where it is kept: the document says it for all. */
function bare(schema: object): JsonSchema {
  const { $schema: _schema, $id: _id, '~standard': _standard, ...rest } = schema as Record<string, unknown>;
  return rest;
}

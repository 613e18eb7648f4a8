export * from './api/codeintel.ts';
export * from './api/jobs.ts';
export * from './api/status.ts';
export * from './executor/job.ts';
export * from './executor/routes.ts';
export * from './lifecycle/table.ts';
export * from './tier.ts';

export {
  executorFileSchema,
  type HelperSettings as ExecutorHelperSettings,
  helperConfigSchema as executorHelperConfigSchema,
} from './helper/config.ts';

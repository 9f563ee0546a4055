export { Cluster, Redis, type RedisOptions } from 'ioredis';

static int unused_ __attribute__((unused));

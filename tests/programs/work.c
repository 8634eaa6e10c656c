/*
 * Allocates, writes, reads and frees, and prints what it read: `checksum N`. The same arguments give the
 * same checksum.
 *
 * work ROUNDS: begins with a line on standard input, and ends when that is closed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIFETIME_SECONDS = 120, SLOTS = 1024 };

static unsigned char *slots[SLOTS];
static size_t sizes[SLOTS];

static uint64_t take(unsigned slot)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < sizes[slot]; i++)
        sum = sum * 31 + slots[slot][i];
    free(slots[slot]);
    slots[slot] = NULL;
    sizes[slot] = 0;
    return sum;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 1;
    uint64_t random = 88172645463325252u, checksum = 0;
    char line[64];

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    if (!fgets(line, sizeof line, stdin))
        return 1;
    for (long round = 0; round < rounds; round++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned slot = random % SLOTS;
        size_t size = random / SLOTS % 500 + 1;
        if (slots[slot] && random >> 63) {
            unsigned char *grown = realloc(slots[slot], size + sizes[slot]);
            if (!grown)
                abort();
            memset(grown + sizes[slot], (int)round, size);
            slots[slot] = grown;
            sizes[slot] += size;
            continue;
        }
        checksum = checksum * 131 + take(slot);
        slots[slot] = random >> 62 & 1 ? calloc(1, size) : malloc(size);
        if (!slots[slot])
            abort();
        memset(slots[slot], (int)round, size);
        sizes[slot] = size;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        checksum = checksum * 131 + take(slot);
    printf("checksum %llu\n", (unsigned long long)checksum);
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}

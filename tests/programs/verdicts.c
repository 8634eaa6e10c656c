/*
 * Leaks and clean habits, each allocating at one line, all in the same iterations. A comment on the
 * line says what it is: `leak NAME`, or `clean NAME: VERDICT`, or any of several with `|` between.
 *
 * verdicts ITERATIONS SEED [NAME...]: plays all, or only those that are named.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIFETIME_SECONDS = 120 };

struct block {
    struct block *next;
};

static uint64_t random_state;

__attribute__((noinline)) void iteration_end(void)
{
    __asm__ volatile("" ::: "memory");
}

static int below(int end)
{
    random_state += 0x9e3779b97f4a7c15;
    uint64_t mixed = random_state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (int)((mixed ^ (mixed >> 31)) % (uint64_t)end);
}

static void *must(void *block)
{
    if (!block)
        abort();
    return block;
}

static void push(struct block **list, void *block)
{
    struct block *first = must(block);

    first->next = *list;
    *list = first;
}

static void drop(struct block **list, int count)
{
    for (; count > 0 && *list; count--) {
        struct block *first = *list;

        *list = first->next;
        free(first);
    }
}

enum { ALL = 1 << 30 };

/* A first-in, first-out store of at most `room` blocks. */
struct ring {
    int next;
    void *blocks[1000];
};

static void put(struct ring *ring, int room, void *block)
{
    int at = ring->next++ % room;

    free(ring->blocks[at]);
    ring->blocks[at] = must(block);
}

/* ---- leaks: accumulating data ---- */

static struct block *accumulated;

static void accumulating_list(int now)
{
    (void)now;
    for (int i = 0; i < 50; i++)
        push(&accumulated, malloc(48)); /* leak accumulating_list */
}

static void accumulating_array(int now)
{
    static char *array;

    array = must(realloc(array, (size_t)now * 1000)); /* leak accumulating_array */
}

static void array_by_eighths(int now)
{
    static char *array;
    static size_t room = 100;

    if (array && room >= (size_t)now * 100)
        return;
    while (room < (size_t)now * 100)
        room += room / 8;
    array = must(realloc(array, room)); /* leak array_by_eighths */
}

static void log_lines(int now)
{
    static struct block *lines;

    for (int i = 0; i < 5 + now % 3; i++)
        push(&lines, strdup("a line of a log that nobody cuts")); /* leak log_lines */
}

static void freed_at_the_end(int now)
{
    static struct block *list;

    if (now < 0) {
        drop(&list, ALL);
        return;
    }
    for (int i = 0; i < 20; i++)
        push(&list, malloc(64)); /* leak freed_at_the_end */
}

/* ---- leaks: a cache without a limit, listeners that stay ---- */

static void cache_without_limit(int now)
{
    static struct block *buckets[64];

    for (int i = 0; i < 10; i++)
        push(&buckets[(now * 31 + i * 7) % 64], malloc(200)); /* leak cache_without_limit */
}

static void cache_mostly_hit(int now)
{
    static struct block *misses;

    (void)now;
    for (int i = 0; i < 100; i++)
        if (below(20) == 0)
            push(&misses, malloc(128)); /* leak cache_mostly_hit */
}

static void listeners(int now)
{
    static struct block *added;

    /* A window is opened and closed; its listener stays. */
    (void)now;
    push(&added, calloc(1, 72)); /* leak listeners */
}

static void listeners_half_removed(int now)
{
    static struct block *added;

    (void)now;
    for (int i = 0; i < 10; i++)
        push(&added, malloc(56)); /* leak listeners_half_removed */
    drop(&added, 5);
}

/* ---- leaks: slow, large, rare ---- */

static void slow_16(int now)
{
    static struct block *list;

    (void)now;
    push(&list, malloc(16)); /* leak slow_16 */
}

static void one_mib(int now)
{
    static struct block *list;

    (void)now;
    push(&list, malloc(1 << 20)); /* leak one_mib */
}

static void one_in_three(int now)
{
    static struct block *list;

    if (now % 3 == 0)
        push(&list, malloc(1000)); /* leak one_in_three */
}

static void one_in_three_with_churn(int now)
{
    static struct block *list;
    void *block;

    for (int i = 0; i < 10; i++) {
        block = malloc(300); /* leak one_in_three_with_churn */
        if (now % 3 == 1 && i == 0)
            push(&list, block);
        else
            free(block);
    }
}

static void every_other(int now)
{
    static struct block *list;

    if (now % 2)
        push(&list, malloc(2000)); /* leak every_other */
}

static void some_are_skipped(int now)
{
    static struct block *list;

    if (now != 7 && now != 12)
        push(&list, malloc(90)); /* leak some_are_skipped */
}

static void late(int now)
{
    static struct block *list;

    if (now > 8)
        push(&list, malloc(400)); /* leak late */
}

static void ever_faster(int now)
{
    static struct block *list;

    for (int i = 0; i < now; i++)
        push(&list, malloc(80)); /* leak ever_faster */
}

static void slowing_but_not_stopping(int now)
{
    static struct block *list;

    for (int i = now; i < 40; i++)
        push(&list, malloc(80)); /* leak slowing_but_not_stopping */
}

/* ---- leaks: under something else at the same line ---- */

static void error_path(int now)
{
    (void)now;
    for (int i = 0; i < 100; i++) {
        void *block = malloc(256); /* leak error_path */

        if (i != 37)
            free(block);
    }
}

static void random_amounts(int now)
{
    static struct block *list;
    int count = below(5) + below(3);

    (void)now;
    for (int i = 0; i < count; i++)
        push(&list, malloc(100)); /* leak random_amounts */
}

/* `kept` blocks stay of each iteration, under 0 to `most` in use when it ends. */
static void under_noise(int most, int kept, struct block **stay, struct block **use,
                        void *(*get)(void))
{
    int count = below(most + 1);

    drop(use, ALL);
    for (int i = 0; i < kept + count; i++)
        push(i < kept ? stay : use, get());
}

static void *get_under_20(void)
{
    return must(malloc(100)); /* leak under_20_in_use */
}

static void under_20_in_use(int now)
{
    static struct block *stay, *use;

    (void)now;
    under_noise(20, 10, &stay, &use, get_under_20);
}

static void *get_under_150(void)
{
    return must(malloc(100)); /* leak under_150_in_use */
}

static void under_150_in_use(int now)
{
    static struct block *stay, *use;

    (void)now;
    under_noise(150, 10, &stay, &use, get_under_150);
}

static void beside_a_pool(int now)
{
    static struct block *list;

    for (int i = 0; i < (now == 1 ? 501 : 1); i++)
        push(&list, malloc(64)); /* leak beside_a_pool */
}

static void beside_a_cache(int now)
{
    static struct ring ring;
    static struct block *list;

    (void)now;
    for (int i = 0; i < 35; i++) {
        void *block = malloc(88); /* leak beside_a_cache */

        if (i % 7 == 0)
            push(&list, block);
        else
            put(&ring, 100, block);
    }
}

static void beside_a_burst(int now)
{
    static struct block *list;

    for (int i = 0; i < (now == 5 ? 400 : 1); i++)
        push(&list, malloc(1024)); /* leak beside_a_burst */
}

static void some_given_back_once(int now)
{
    static struct block *list;

    for (int i = 0; i < 10; i++)
        push(&list, malloc(70)); /* leak some_given_back_once */
    if (now == 11)
        drop(&list, 35);
}

static void under_a_saw(int now)
{
    static struct block *teeth, *list;

    if (now % 4 == 0)
        drop(&teeth, ALL);
    for (int i = 0; i < 15; i++)
        push(i < 10 ? &teeth : &list, malloc(60)); /* leak under_a_saw */
}

static void *of_a_thread(void *list)
{
    push(list, malloc(640)); /* leak threads */
    return NULL;
}

static void threads(int now)
{
    static struct block *list;
    pthread_t thread;

    (void)now;
    if (pthread_create(&thread, NULL, of_a_thread, &list) || pthread_join(thread, NULL))
        abort();
}

/* ---- clean: nothing stays ---- */

static void churn(int now)
{
    (void)now;
    for (int i = 0; i < 100; i++)
        free(malloc(500)); /* clean churn: stable */
}

static void arena_per_iteration(int now)
{
    struct block *chunks = NULL;

    for (int i = 0; i < 5 + now % 7; i++)
        push(&chunks, malloc(4096)); /* clean arena_per_iteration: stable */
    drop(&chunks, ALL);
}

static void saw_of_4(int now)
{
    static struct block *list;

    if (now % 4 == 0)
        drop(&list, ALL);
    else
        for (int i = 0; i < 10; i++)
            push(&list, malloc(100)); /* clean saw_of_4: stable */
}

static void saw_of_5_with_noise(int now)
{
    static struct block *list;

    for (int i = 5 + below(10); i > 0; i--)
        push(&list, malloc(100)); /* clean saw_of_5_with_noise: stable */
    if (now % 5 == 0)
        drop(&list, ALL);
}

static void grown_then_released(int now)
{
    static struct block *list;

    if (now <= 10)
        for (int i = 0; i < 10; i++)
            push(&list, malloc(150)); /* clean grown_then_released: stable */
    else
        drop(&list, 13);
}

static void in_use_up_to_100(int now)
{
    static struct block *list;
    int count = below(100);

    (void)now;
    drop(&list, ALL);
    for (int i = 0; i < count; i++)
        push(&list, malloc(100)); /* clean in_use_up_to_100: stable|plateau|undecided */
}

static void spikes(int now)
{
    static struct block *list;

    drop(&list, ALL);
    if (now == 7 || now == 14)
        for (int i = 0; i < 300; i++)
            push(&list, malloc(100)); /* clean spikes: stable */
}

static void buffer_of_any_size(int now)
{
    static char *buffer;
    size_t size = 1 + (size_t)below(3000);

    (void)now;
    buffer = must(realloc(buffer, size)); /* clean buffer_of_any_size: stable|plateau|undecided */
}

static void *of_a_passing_thread(void *unused)
{
    struct block *pool = NULL;

    (void)unused;
    for (int i = 0; i < 10; i++)
        push(&pool, malloc(320)); /* clean pool_of_a_passing_thread: stable */
    drop(&pool, ALL);
    return NULL;
}

static void pool_of_a_passing_thread(int now)
{
    pthread_t thread;

    (void)now;
    if (pthread_create(&thread, NULL, of_a_passing_thread, NULL) || pthread_join(thread, NULL))
        abort();
}

/* ---- clean: once ---- */

static void initialization(int now)
{
    static struct block *list;

    if (now == 1)
        for (int i = 0; i < 200; i++)
            push(&list, malloc(300)); /* clean initialization: burst */
}

static void on_first_use(int now)
{
    static char *table;

    if (now == 6)
        table = must(malloc(50000)); /* clean on_first_use: burst */
    (void)table;
}

static void late_burst(int now)
{
    static struct block *list;

    if (now == 17)
        for (int i = 0; i < 50; i++)
            push(&list, malloc(700)); /* clean late_burst: burst */
}

static void arena_that_is_reused(int now)
{
    static struct block *chunks;

    if (!chunks)
        for (int i = 0; i < 8; i++)
            push(&chunks, malloc(4096)); /* clean arena_that_is_reused: burst */
    (void)now;
}

static void two_buffers_that_swap(int now)
{
    static void *front, *back;

    (void)now;
    free(back);
    back = front;
    front = must(malloc(5000)); /* clean two_buffers_that_swap: plateau|burst */
}

static __thread struct block *local_pool;

static void *of_a_worker(void *barrier)
{
    for (int i = 0; i < 30; i++)
        push(&local_pool, malloc(200)); /* clean thread_local_pools: burst */
    pthread_barrier_wait(barrier);
    pause();
    return NULL;
}

static void thread_local_pools(int now)
{
    static pthread_barrier_t barrier;
    pthread_t worker;

    if (now != 1)
        return;
    pthread_barrier_init(&barrier, NULL, 5);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&worker, NULL, of_a_worker, &barrier))
            abort();
    pthread_barrier_wait(&barrier);
}

/* ---- clean: until it is full ---- */

static void cache_with_limit(int now)
{
    static struct ring ring;

    (void)now;
    for (int i = 0; i < 40; i++)
        put(&ring, 200, malloc(120)); /* clean cache_with_limit: plateau */
}

static void cache_of_varied_sizes(int now)
{
    static struct ring ring;

    (void)now;
    for (int i = 0; i < 300; i++) {
        size_t size = 50 + (size_t)below(100);

        put(&ring, 1000, malloc(size)); /* clean cache_of_varied_sizes: plateau|undecided */
    }
}

static void random_eviction(int now)
{
    static void *entries[200];
    static int used;

    (void)now;
    for (int i = 0; i < 60; i++) {
        int at = used < 200 ? used++ : below(200);

        free(entries[at]);
        entries[at] = must(malloc(100)); /* clean random_eviction: plateau */
    }
}

static void interned_words(int now)
{
    static void *words[50];

    (void)now;
    for (int i = 0; i < 40; i++) {
        int word = below(50);

        if (!words[word])
            words[word] = must(malloc(40)); /* clean interned_words: plateau|burst|undecided */
    }
}

static void table_that_doubles(int now)
{
    static void *table;
    static int room;
    int need = now < 5 ? now * 300 : 1500;

    if (need <= room)
        return;
    for (room = room ? room : 256; room < need;)
        room *= 2;
    table = must(realloc(table, (size_t)room)); /* clean table_that_doubles: plateau */
}

static void stack_of_free_objects(int now)
{
    static int made;
    static struct block *objects;
    int demand = 40 + below(now < 6 ? 20 : 10);

    for (; made < demand; made++)
        push(&objects, malloc(96)); /* clean stack_of_free_objects: plateau|burst */
}

static void sessions_of_3(int now)
{
    static struct block *sessions[3];

    drop(&sessions[now % 3], ALL);
    for (int i = 0; i < 25; i++)
        push(&sessions[now % 3], malloc(512)); /* clean sessions_of_3: plateau */
}

static void log_ring(int now)
{
    static struct ring ring;

    (void)now;
    for (int i = 0; i < 10; i++)
        put(&ring, 64, strdup("a line in a ring of them")); /* clean log_ring: plateau */
}

static void plugins(int now)
{
    static struct block *list;

    if (now <= 4)
        for (int i = 0; i < 20; i++)
            push(&list, malloc(333)); /* clean plugins: plateau */
}

static void bounded_by_bytes(int now)
{
    static struct { void *block; int size; } entries[400];
    static int first, next, total;

    (void)now;
    for (int i = 0; i < 60; i++) {
        int size = 20 + below(200), at = next++ % 400;
        void *block = malloc((size_t)size); /* clean bounded_by_bytes: plateau|undecided */

        entries[at].block = must(block);
        entries[at].size = size;
        for (total += size; total > 20000; first++) {
            free(entries[first % 400].block);
            total -= entries[first % 400].size;
        }
    }
}

static void half_released(int now)
{
    static struct block *list;

    if (now <= 8)
        for (int i = 0; i < 20; i++)
            push(&list, malloc(110)); /* clean half_released: plateau */
    else
        drop(&list, 6);
}

static void filled_slower_and_slower(int now)
{
    static struct block *list;

    for (int i = 512 >> now; i > 0; i--)
        push(&list, malloc(75)); /* clean filled_slower_and_slower: plateau */
}

static const struct scenario {
    const char *name;
    void (*iteration)(int now);
} scenarios[] = {
#define SCENARIO(name) { #name, name }
    SCENARIO(accumulating_list), SCENARIO(accumulating_array), SCENARIO(array_by_eighths),
    SCENARIO(log_lines), SCENARIO(freed_at_the_end), SCENARIO(cache_without_limit),
    SCENARIO(cache_mostly_hit), SCENARIO(listeners), SCENARIO(listeners_half_removed),
    SCENARIO(slow_16), SCENARIO(one_mib), SCENARIO(one_in_three),
    SCENARIO(one_in_three_with_churn), SCENARIO(every_other), SCENARIO(some_are_skipped),
    SCENARIO(late), SCENARIO(ever_faster), SCENARIO(slowing_but_not_stopping),
    SCENARIO(error_path), SCENARIO(random_amounts), SCENARIO(under_20_in_use),
    SCENARIO(under_150_in_use), SCENARIO(beside_a_pool), SCENARIO(beside_a_cache),
    SCENARIO(beside_a_burst), SCENARIO(some_given_back_once), SCENARIO(under_a_saw),
    SCENARIO(threads),
    SCENARIO(churn), SCENARIO(arena_per_iteration), SCENARIO(saw_of_4),
    SCENARIO(saw_of_5_with_noise), SCENARIO(grown_then_released), SCENARIO(in_use_up_to_100),
    SCENARIO(spikes), SCENARIO(buffer_of_any_size), SCENARIO(pool_of_a_passing_thread),
    SCENARIO(initialization), SCENARIO(on_first_use), SCENARIO(late_burst),
    SCENARIO(arena_that_is_reused), SCENARIO(two_buffers_that_swap),
    SCENARIO(thread_local_pools), SCENARIO(cache_with_limit), SCENARIO(cache_of_varied_sizes),
    SCENARIO(random_eviction), SCENARIO(interned_words), SCENARIO(table_that_doubles),
    SCENARIO(stack_of_free_objects), SCENARIO(sessions_of_3), SCENARIO(log_ring),
    SCENARIO(plugins), SCENARIO(bounded_by_bytes), SCENARIO(half_released),
    SCENARIO(filled_slower_and_slower),
};

static int wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return 1;
    return !count;
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? atoi(argv[1]) : 1;
    int names = argc > 3 ? argc - 3 : 0;

    alarm(LIFETIME_SECONDS);
    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    for (int now = 1; now <= iterations; now++) {
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
            if (wanted(scenarios[i].name, names, argv + 3))
                scenarios[i].iteration(now);
        iteration_end();
    }
    if (wanted("freed_at_the_end", names, argv + 3))
        freed_at_the_end(-1);
    return 0;
}

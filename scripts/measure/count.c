/*
 * A plugin for QEMU: instructions of each virtual processor, apart by the place in the kernel that was entered last.
 *
 *     -plugin count.so,places=FILE,marks=FILE
 *
 * `places` has lines `ADDRESS NAME`: once a processor runs the block at ADDRESS, what it does is put down to NAME, until it
 * comes to another place or back to user space. Some names mean something here: `idle` is only left by `switch`, and after
 * `tick` comes, with `resume`, what it interrupted.
 * To run what lies at the address MARKS + n appends all counts to `marks`, under the number n. That is how the guest asks.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of QEMU's interface for plugins that is used here, as of its first version. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
__attribute__((visibility("default"))) int qemu_plugin_version = 1;
/* Since QEMU 9.0 there is this, and the first version is not served any more; nothing that is used here is other in the second. */
extern void *qemu_plugin_scoreboard_new(size_t) __attribute__((weak));
__attribute__((constructor)) static void choose_version(void)
{
    if (qemu_plugin_scoreboard_new)
        qemu_plugin_version = 2;
}

enum { MOST_PROCESSORS = 2, MOST_PLACES = 1024 };
enum { USER, KERNEL, FIRST_PLACE };
static const uint64_t MARKS = 0x466f726577000, KERNEL_SPACE = 1ull << 63;

static struct place { uint64_t address; char name[64]; } places[MOST_PLACES] = {{0, "user"}, {0, "kernel"}};
static int known = FIRST_PLACE, idle = -1, leave_idle = -1, tick = -1, resume = -1;
static const struct { const char *name; int *place; } specials[] = {
    {"idle", &idle}, {"switch", &leave_idle}, {"tick", &tick}, {"resume", &resume},
};
static FILE *marks;

struct block { uint64_t first, last, instructions; int place; };
static struct processor { uint64_t last, counts[MOST_PLACES]; int place, interrupted; } processors[MOST_PROCESSORS];

static int next_place(struct processor *it, int place)
{
    if (it->place == idle)
        return place == leave_idle ? place : idle;
    if (place == resume)
        return it->place == tick ? it->interrupted : it->place;
    if (place == tick && it->place != tick)
        it->interrupted = it->place == USER ? KERNEL : it->place;
    if (place >= 0)
        return place;
    return it->place == USER ? KERNEL : it->place;
}

static void run(unsigned number, void *data)
{
    const struct block *block = data;
    struct processor *it = &processors[number];
    /* An instruction that repeats itself (rep movsb) is a block each time; a processor counts it once. */
    int again = block->instructions == 1 && block->first == it->last;
    it->last = block->last;
    it->place = next_place(it, block->place);
    it->counts[it->place] += again ? 0 : block->instructions;
}

static void mark(unsigned number, void *data)
{
    fprintf(marks, "mark %" PRIu64 "\n", ((const struct block *)data)->first - MARKS);
    for (int processor = 0; processor < MOST_PROCESSORS; processor++)
        for (int place = 0; place < known; place++)
            if (processors[processor].counts[place])
                fprintf(marks, "%d %s %" PRIu64 "\n", processor, places[place].name, processors[processor].counts[place]);
    fflush(marks);
}

static int place_of(uint64_t address)
{
    if (address < KERNEL_SPACE)
        return USER;
    for (int place = FIRST_PLACE; place < known; place++)
        if (places[place].address == address)
            return place;
    return -1;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t instructions = qemu_plugin_tb_n_insns(tb);
    struct block *block = malloc(sizeof *block);
    block->first = qemu_plugin_tb_vaddr(tb);
    block->last = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, instructions - 1));
    block->instructions = instructions;
    block->place = place_of(block->first);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, run, 0, block);
    if (block->first >> 12 == MARKS >> 12)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, mark, 0, block);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    FILE *list = NULL;
    for (int word = 0; word < argc; word++) {
        if (!strncmp(argv[word], "places=", 7))
            list = fopen(argv[word] + 7, "r");
        else if (!strncmp(argv[word], "marks=", 6))
            marks = fopen(argv[word] + 6, "w");
    }
    if (!list || !marks)
        return 1;
    for (; known < MOST_PLACES; known++)
        if (fscanf(list, "%" SCNx64 " %63s", &places[known].address, places[known].name) != 2)
            break;
        else
            for (size_t special = 0; special < sizeof specials / sizeof *specials; special++)
                if (!strcmp(places[known].name, specials[special].name))
                    *specials[special].place = known;
    fclose(list);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}

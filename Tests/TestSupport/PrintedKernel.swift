import Foundation
import LigerRuntime
import Synchronization
import TileGPU
import TileLLVM

/// Text for an AMD GPU, run by this machine's processor: each thread's part is what the printer wrote, compiled by clang,
/// and what a wave does together is done by fibers in `source`, one after the other.
///
/// Instructions that are AMD's alone have their results but not their last bits.
enum PrintedKernel {
    private typealias Launch =
        @convention(c) (
            UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int32, Int32, Int32
        ) -> Int32

    private struct Compiled: @unchecked Sendable {
        // Never unloaded: any thread may call both, one at a time.
        let launch: Launch
        let entry: UnsafeMutableRawPointer
    }

    private static let known = Mutex<[String: Compiled]>([:])

    /// - Throws: `RuntimeError` with the compiler's log, or if threads wait for each other for ever.
    static func run(
        _ threads: ThreadFunction, _ target: AMDTarget, programs: Int, _ parameters: UnsafeRawBufferPointer
    ) throws {
        let module = try LLVMModule([threads], target: target), schedule = threads.schedule
        let blocks = (programs + schedule.programsPerBlock - 1) / schedule.programsPerBlock * schedule.blocks
        let isDone = try known.withLock { known in
            let compiled = try known[module.text] ?? compile(module)
            known[module.text] = compiled
            return compiled.launch(
                compiled.entry, UnsafeMutableRawPointer(mutating: parameters.baseAddress!),
                Int32(schedule.blockThreads), Int32(target.limits.warpThreads), Int32(blocks)) == 0
        }
        if !isDone { throw RuntimeError("threads of \(module.entries[0]) for \(target) wait for ever") }
    }

    /// Debian's, else the one beside the Swift compiler; nil where there is none.
    private static let clang = ["clang-22", "clang"].lazy.flatMap { name in
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
    }.first { FileManager.default.isExecutableFile(atPath: $0) }

    static let isThere = clang != nil

    private static func compile(_ module: LLVMModule) throws -> Compiled {
        guard let clang else { throw RuntimeError("there is no clang to compile printed kernels with") }
        let folder = FileManager.default.temporaryDirectory.appending(path: "printed-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (code, support) = (folder.appending(path: "kernel.ll"), folder.appending(path: "waves.c"))
        try Data(hosted(module.text).utf8).write(to: code)
        try Data(source.utf8).write(to: support)
        let process = Process(), pipe = Pipe(), library = folder.appending(path: "kernel.so").path()
        process.executableURL = URL(filePath: clang)
        process.arguments = [
            "-O1", "-w", "-fPIC", "-shared", "-ffp-contract=off", code.path(), support.path(), "-lm", "-o",
            library,
        ]
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let log = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0, let handle = dlopen(library, RTLD_NOW | RTLD_LOCAL),
            let launch = dlsym(handle, "launch"), let entry = dlsym(handle, module.entries[0])
        else { throw RuntimeError("compiling \(module.entries[0]) for this machine failed: \(log)") }
        return Compiled(launch: unsafeBitCast(launch, to: Launch.self), entry: entry)
    }

    /// The same program with one kind of memory and without AMD's words.
    private static func hosted(_ text: String) -> String {
        var text = text.replacing("target triple = \"amdgcn-amd-amdhsa\"", with: "")
            .replacing("amdgpu_kernel ", with: "").replacing("llvm.amdgcn.", with: "amdgcn.")
            // Other threads write to it while one waits.
            .replacing(" internal addrspace(3)", with: "")
        for (pattern, replacement) in [
            (#"(?m)^ *fence .*$"#, ""), (#""[a-z-]+"="[^"]*" ?"#, ""), (#"byref\(\[[0-9]+ x i8\]\) "#, ""),
            (#", addrspace\(5\)$"#, ""), (#", addrspace\(5\)\n"#, "\n"), (#" ?addrspace\([0-9]\)"#, ""),
        ] { text = text.replacingOccurrences(of: pattern, with: replacement, options: .regularExpression) }
        return text
    }

    /// What threads of a wave and of a block do together. A fiber runs until it waits; those that wait for the same go on
    /// once all that have not ended are there.
    private static let source = """
        #include <math.h>
        #include <stdint.h>
        #include <stdlib.h>
        #include <ucontext.h>
        enum { ready, atWave, atBlock, ended, most = 1024, stackBytes = 1 << 16 };
        static ucontext_t scheduler, fibers[most];
        static int states[most], lane, block, count, wave;
        static uint32_t words[most];
        static void (*kernel)(void *);
        static void *arguments;

        static void body(void) { kernel(arguments); states[lane] = ended; }
        static void await(int state) {
          int own = lane;
          states[own] = state;
          swapcontext(&fibers[own], &scheduler);
        }
        static uint32_t of(uint32_t word, int other) {
          words[lane] = word;
          await(atWave);
          uint32_t found = words[other];
          await(atWave);
          return found;
        }
        static int release(int first, int end, int state) {
          int waiting = 0;
          for (int i = first; i < end; i++) {
            if (states[i] == ended) continue;
            if (states[i] != state) return 0;
            waiting++;
          }
          for (int i = first; i < end; i++) if (states[i] == state) states[i] = ready;
          return waiting;
        }
        int launch(void *entry, void *parameters, int threads, int waveThreads, int blocks) {
          char *stacks = malloc((size_t)threads * stackBytes);
          kernel = (void (*)(void *))entry, arguments = parameters, count = threads, wave = waveThreads;
          int left = 0;
          for (block = 0; block < blocks && !left; block++) {
            for (int i = 0; i < count; i++) {
              getcontext(&fibers[i]);
              fibers[i].uc_stack.ss_sp = stacks + (size_t)i * stackBytes;
              fibers[i].uc_stack.ss_size = stackBytes;
              fibers[i].uc_link = &scheduler;
              makecontext(&fibers[i], body, 0);
              states[i] = ready;
            }
            for (int goesOn = 1; goesOn;) {
              for (lane = 0; lane < count; lane++)
                while (states[lane] == ready) swapcontext(&scheduler, &fibers[lane]);
              goesOn = 0;
              for (int i = 0; i < count; i += wave)
                goesOn += release(i, i + wave < count ? i + wave : count, atWave);
              if (!goesOn) goesOn = release(0, count, atBlock);
            }
            for (int i = 0; i < count; i++) left += states[i] != ended;
          }
          free(stacks);
          return left;
        }

        int threadIndex(void) __asm__("amdgcn.workitem.id.x");
        int threadIndex(void) { return lane; }
        int blockIndex(void) __asm__("amdgcn.workgroup.id.x");
        int blockIndex(void) { return block; }
        void barrier(void) __asm__("amdgcn.s.barrier");
        void barrier(void) { await(atBlock); }
        uint32_t move(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, _Bool) __asm__("amdgcn.update.dpp.i32");
        uint32_t move(uint32_t old, uint32_t word, uint32_t how, uint32_t rows, uint32_t banks, _Bool bound) {
          int row = lane & ~15, place = lane & 15;
          if (how < 0x100) return of(word, (lane & ~3) | (how >> 2 * (lane & 3) & 3));
          if (how < 0x130) return of(word, row | ((place - (int)(how & 15)) & 15));
          return of(word, row | (place ^ (how & 15)));
        }
        uint32_t swizzle(uint32_t, uint32_t) __asm__("amdgcn.ds.swizzle");
        uint32_t swizzle(uint32_t word, uint32_t how) {
          int place = lane & 31;
          return of(word, (lane & ~31) | ((((place & how) | (how >> 5 & 31)) ^ (how >> 10 & 31)) & 31));
        }
        uint32_t permute(uint32_t, uint32_t) __asm__("amdgcn.ds.bpermute");
        uint32_t permute(uint32_t place, uint32_t word) {
          return of(word, lane / wave * wave + place / 4 % wave);
        }
        int below(int, int) __asm__("amdgcn.mbcnt.lo");
        int below(int mask, int sum) { int own = lane % wave; return sum + (own < 32 ? own : 32); }
        int above(int, int) __asm__("amdgcn.mbcnt.hi");
        int above(int mask, int sum) { int own = lane % wave; return sum + (own < 32 ? 0 : own - 32); }

        // Below the normal numbers these instructions see zeros.
        static float seen(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
        float reciprocal(float) __asm__("amdgcn.rcp.f32");
        float reciprocal(float x) { return 1 / x; }
        float root(float) __asm__("amdgcn.sqrt.f32");
        float root(float x) { return nextafterf(sqrtf(seen(x)), 0); }
        float overRoot(float) __asm__("amdgcn.rsq.f32");
        float overRoot(float x) { return 1 / sqrtf(seen(x)); }
        float power(float) __asm__("amdgcn.exp2.f32");
        float power(float x) { return exp2f(x); }
        float logarithm(float) __asm__("amdgcn.log.f32");
        float logarithm(float x) { return log2f(seen(x)); }
        """
}

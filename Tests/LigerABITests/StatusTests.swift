import CLigerABI
import LigerABI
import Testing

/// The functions of liger.h as a C program would call them; every status but those that need a GPU or a broken
/// library.
@Suite struct StatusTests {
    private func array(
        _ name: StaticString, _ shape: [Int64], dtype: Int32 = LIGER_F32, strides: [Int64]? = nil
    ) -> liger_array {
        var array = liger_array()
        array.name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        array.dtype = dtype
        array.rank = Int32(shape.count)
        array.alignment = 16
        var stride: Int64 = 1
        withUnsafeMutableBytes(of: &array.shape) { bytes in
            for (i, size) in shape.enumerated() { bytes.bindMemory(to: Int64.self)[i] = size }
        }
        withUnsafeMutableBytes(of: &array.strides) { bytes in
            for i in shape.indices.reversed() {
                bytes.bindMemory(to: Int64.self)[i] = strides?[i] ?? stride
                stride *= shape[i]
            }
        }
        return array
    }

    private func option(_ name: StaticString, _ number: Double, text: StaticString? = nil) -> liger_option {
        func pointer(_ text: StaticString) -> UnsafePointer<CChar> {
            UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        }
        return liger_option(name: pointer(name), number: number, text: text.map(pointer))
    }

    private func prepare(
        _ operation: String, device: Int32 = -1, _ inputs: [liger_array], _ options: [liger_option] = []
    ) -> (status: liger_status, call: OpaquePointer?) {
        var call: OpaquePointer?
        let status = liger_prepare(
            operation, device, inputs, Int32(inputs.count), options, Int32(options.count), &call)
        return (status, call)
    }

    private var message: String { liger_last_message().map { String(cString: $0) } ?? "" }

    /// The status of a preparation that must fail and leave the handle as it was.
    private func refusal(
        _ operation: String, device: Int32 = -1, _ inputs: [liger_array], _ options: [liger_option] = []
    ) -> liger_status {
        let (status, call) = prepare(operation, device: device, inputs, options)
        #expect(call == nil)
        return status
    }

    @Test func softmaxRuns() throws {
        let (status, call) = prepare("softmax_forward", [array("x", [2, 2])])
        #expect(status == LIGER_OK)
        defer { liger_release(call) }
        #expect(liger_call_output_count(call) == 1 && liger_call_workspace(call) == 0)
        var output = liger_array()
        #expect(liger_call_output(call, 0, &output) == LIGER_OK)
        #expect(String(cString: output.name) == "y" && output.dtype == LIGER_F32 && output.rank == 2)
        #expect((output.shape.0, output.shape.1, output.strides.0) == (2, 2, 2))
        var (x, y): ([Float], [Float]) = ([0, 0, 1, 1], [0, 0, 0, 0])
        x.withUnsafeMutableBytes { x in
            y.withUnsafeMutableBytes { y in
                let given = [x, y].map { UInt64(UInt(bitPattern: $0.baseAddress)) }
                #expect(liger_run(call, 0, given, 2) == LIGER_OK)
                let handle = UInt64(UInt(bitPattern: call))
                #expect(liger_run_packed([handle, 0, 2] + given) == LIGER_OK)
                #expect(liger_run_packed([handle, 0, 1] + given) == LIGER_INVALID_ARGUMENT)
                #expect(message == "the call takes 2 addresses; found 1")
            }
        }
        #expect(y == [0.5, 0.5, 0.5, 0.5])
    }

    @Test func invalidArguments() {
        let x = array("x", [2, 2])
        #expect(refusal("softmax_forward", []) == LIGER_INVALID_ARGUMENT)
        #expect(message == "softmax_forward needs an input 'x', which was not given")
        #expect(refusal("softmax_forward", [x, x]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("given twice"))
        #expect(refusal("softmax_forward", [array("x", [2, 2], dtype: 99)]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("has type 99 and rank 2"))
        #expect(refusal("softmax_forward", [array("x", [2], dtype: LIGER_I32)]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("x holds i32. Give it f32, bf16 or f16"))
        #expect(refusal("softmax_forward", [array("x", [2, 2], strides: [1, 2])]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("Make it contiguous first"))
        #expect(refusal("softmax_forward", [array("x", [-1])]) == LIGER_INVALID_ARGUMENT)
        let word = option("casting", 0, text: "other"), number = option("casting", 3)
        #expect(refusal("rms_norm_forward", [x], [word]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("the option 'casting' is 'other'. Give one of: llama, gemma, none"))
        #expect(refusal("rms_norm_forward", [x], [number]) == LIGER_INVALID_ARGUMENT)
        #expect(
            refusal("rms_norm_forward", [x], [option("eps", 0, text: "small")]) == LIGER_INVALID_ARGUMENT)
        #expect(refusal("rms_norm_forward", [x], [option("needs_rstd", 2)]) == LIGER_INVALID_ARGUMENT)
        #expect(message == "rms_norm_forward: the option 'needs_rstd' is 2.0, not 0 or 1")
        let eps = option("eps", 1)
        #expect(refusal("rms_norm_forward", [x], [eps, eps]) == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("the option 'eps' is given twice"))
        #expect(refusal("layer_norm_forward", [x]) == LIGER_INVALID_ARGUMENT)
        #expect(message == "layer_norm_forward needs an option 'eps'")
        #expect(liger_prepare(nil, -1, nil, 0, nil, 0, nil) == LIGER_INVALID_ARGUMENT)
        #expect(liger_run(nil, 0, nil, 0) == LIGER_INVALID_ARGUMENT)
        #expect(liger_run_packed(nil) == LIGER_INVALID_ARGUMENT)
        #expect(liger_run_packed([0, 0, 0]) == LIGER_INVALID_ARGUMENT)
        #expect(liger_use_blas(nil) == LIGER_INVALID_ARGUMENT)
        #expect(liger_launch_counts(nil, 4, nil) == LIGER_INVALID_ARGUMENT)
    }

    @Test(arguments: [(0.5, nil), (0, "1,"), (0, "a")] as [(Double, StaticString?)])
    func listsOfNumbers(number: Double, text: StaticString?) {
        let heads = ["q", "k", "cos", "sin"].map { array($0 as StaticString, [1, 1, 1, 2]) }
        #expect(
            refusal("multimodal_rope", heads, [option("sections", number, text: text)])
                == LIGER_INVALID_ARGUMENT)
        #expect(message.contains("the option 'sections' is"))
    }

    @Test func unknownNames() {
        #expect(refusal("softmax", []) == LIGER_UNKNOWN_NAME)
        #expect(message == "there is no operation 'softmax'. liger_signatures() lists them")
        let x = array("x", [2, 2])
        #expect(refusal("softmax_forward", [x, array("z", [1])]) == LIGER_UNKNOWN_NAME)
        #expect(message == "softmax_forward has no input z (it takes x)")
        #expect(refusal("rms_norm_forward", [x], [option("epsilon", 1)]) == LIGER_UNKNOWN_NAME)
        #expect(message.contains("has no option epsilon (it takes eps, offset, casting, needs_rstd)"))
    }

    @Test func devices() {
        // Whether this machine has GPUs or none, not one of that number.
        #expect(refusal("softmax_forward", device: 4096, [array("x", [2, 2])]) == LIGER_NO_DEVICE)
        #expect(!message.isEmpty)
        #expect(refusal("softmax_forward", device: -2, [array("x", [2, 2])]) == LIGER_NO_DEVICE)
        #expect(liger_synchronize(-1, 0) == LIGER_OK)
        #expect(liger_synchronize(4096, 0) == LIGER_NO_DEVICE)
    }

    @Test func checksOfValues() {
        let (status, call) = prepare(
            "embedding_forward", [array("ids", [2], dtype: LIGER_I64), array("table", [3, 1])])
        #expect(status == LIGER_OK)
        defer { liger_release(call) }
        var (ids, table, y): ([Int64], [Float], [Float]) = ([1, 3], [0, 1, 2], [0, 0])
        ids.withUnsafeMutableBytes { ids in
            table.withUnsafeMutableBytes { table in
                y.withUnsafeMutableBytes { y in
                    let given = [ids, table, y].map { UInt64(UInt(bitPattern: $0.baseAddress)) }
                    #expect(liger_run(call, 0, given, 3) == LIGER_CHECK_FAILED)
                    #expect(message.contains("program 1: the token at that position has id 3"))
                    #expect(liger_run(call, 0, given, 2) == LIGER_INVALID_ARGUMENT)
                    #expect(message == "the call takes 3 addresses; found 2")
                    #expect(liger_run(call, 0, [given[0] + 1, given[1], given[2]], 3) == LIGER_MISALIGNED)
                    #expect(liger_run(call, 0, [given[0], given[1], given[1]], 3) == LIGER_INVALID_ARGUMENT)
                    #expect(message.contains("overlap"))
                }
            }
        }
        #expect(liger_call_output(call, 1, nil) == LIGER_INVALID_ARGUMENT)
    }

    @Test func launchCounts() {
        var needed: Int64 = 0
        _ = prepare("softmax_forward", [array("x", [2, 2])])
        #expect(liger_launch_counts(nil, 0, &needed) == LIGER_OK)
        #expect(needed >= 1)
        var text = [CChar](repeating: 7, count: 3)
        #expect(liger_launch_counts(&text, 3, &needed) == LIGER_OK)
        #expect(text[2] == 0 || text[0] == 0)
    }

    @Test func absentCalls() {
        #expect(liger_call_output_count(nil) == 0 && liger_call_workspace(nil) == 0)
        liger_release(nil)
        #expect(liger_version().map { String(cString: $0) }?.isEmpty == false)
    }
}

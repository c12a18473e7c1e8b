import Foundation
import LigerModels
import TestSupport
import Testing

/// What ends a text, by generation_config.json.
@Suite struct GenerationDefaultsTests {
    private func ends(_ text: String?) throws -> [Int] {
        let folder = try TemporaryFolder()
        if let text { try Data(text.utf8).write(to: folder.file("generation_config.json")) }
        return try GenerationDefaults.endTokens(in: folder.url)
    }

    @Test func readsOneOrSeveral() throws {
        #expect(try ends(nil) == [] && ends("{}") == [] && ends(#"{"eos_token_id": null}"#) == [])
        #expect(try ends(#"{"eos_token_id": 7, "temperature": 0.5}"#) == [7])
        #expect(try ends(#"{"eos_token_id": [32000, 32001, 32007]}"#) == [32000, 32001, 32007])
    }

    @Test(arguments: [
        #"{"eos_token_id": "7"}"#, #"{"eos_token_id": [1, -1]}"#, "[]", "{", #"{"eos_token_id": 4294967296}"#,
    ])
    func saysWhatIsWrong(text: String) {
        let error = #expect(throws: CheckpointError.self) { try ends(text) }
        #expect(error?.description.contains("generation_config.json") == true)
    }
}
